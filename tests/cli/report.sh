#!/bin/sh
# report.sh BUILD - the page about a compression: its parts, hostile texts, what is missing or unfinished, several compressions, files that are refused.
. tests/cli/tap.inc
make_weights=$1/tests/cli/make_weights
. tests/cli/pairs.inc

# Whether a page is well-formed: every tag is closed in its turn, attributes are quoted, & begins a known entity, no control characters.
nests() {
    LC_ALL=C awk '
        function fail(why) { print "line " FNR ": " why; bad = 1; exit 1 }
        /[\001-\010\013-\037]/ { fail("a control character") }
        {
            text = $0
            gsub(/&(amp|lt|gt|quot|#39);/, "", text)
            if (text ~ /&/) fail("a bare &: " text)
            whole = whole $0 "\n"
        }
        END {
            if (bad) exit 1
            while ((at = index(whole, "<")) > 0) {
                whole = substr(whole, at + 1)
                end = index(whole, ">")
                tag = substr(whole, 1, end - 1)
                whole = substr(whole, end + 1)
                if (end == 0 || tag ~ /</) { print "a tag without end: " substr(tag, 1, 60); exit 1 }
                if (tag ~ /^!DOCTYPE/) continue
                name = tag
                sub(/^\//, "", name)
                sub(/[ \/\n].*/, "", name)
                if (tag ~ /^\//) {
                    if (depth == 0 || open[depth--] != name) { print "</" name "> closes nothing that is open"; exit 1 }
                    continue
                }
                rest = substr(tag, length(name) + 1)
                gsub(/ [a-zA-Z:-]+="[^"]*"/, "", rest)
                if (rest != "" && rest != "/") { print "attributes of <" tag ">"; exit 1 }
                if (rest != "/") open[++depth] = name
            }
            if (depth) { print "<" open[depth] "> is not closed"; exit 1 }
        }' "$1"
}
page=$scratch/page.html
has() { holds "$1" grep -qF -- "$2" "$page"; }
lacks() { holds "$1" sh -c '! grep -qiE -- "$1" "$2"' - "$2" "$page"; }

# Models with random weights, and what compress.json says of them.
params() { "$tinyclip" info "$1" --json | tr ',{' '\n\n' | sed -n "s/ *\"$2\": \([0-9.]*\).*/\1/p"; }
facts() { # facts MODEL PATH MEASURED HASH
    printf '"path":"%s","weights_hash":%s,"params":%s,"params_without_tokens":%s,"macs_image":2e6,"macs_text":5e5,"embed_dim":16,%s' \
        "$2" "$4" "$(params "$1" params)" "$(params "$1" params_without_tokens)" "$3"
}
vit() { printf '{"kind":"vit","width":%d,"layers":%d,"heads":[%s],"ffn":[%s]}' "$@"; }
pairs_of() { # pairs_of R1
    printf '"top1":null,"top5":null,"images":0,"retrieval":{"pairs":12,"image_to_text":{"r1":%s,"r5":0.5,"r10":1,"mean_rank":3,"median_rank":2},' "$1"
    printf '"text_to_image":{"r1":0.25,"r5":0.5,"r10":1,"mean_rank":3,"median_rank":2}},"images_per_second":1234.5,"texts_per_second":98.7'
}
log() { # log STEPS FOLD: a line a step, with masks up to FOLD (0: none), evaluations after step 2 and at the end
    i=1
    while [ $i -le "$1" ]; do
        printf '{"step":%d,"epoch":0.1,"loss":%d.5,"lr":0.1,"grad_norm":1,"logit_scale":50,"pairs":6,"pairs_per_second":10' $i $((9 - i))
        [ $i -le "$2" ] && printf ',"sparsity":0.%d,"target_sparsity":0.2,"lagrangian":1,"lambda":[1,2]' $i
        printf '}\n'
        [ $i -eq "$2" ] && printf '{"step":%d,"fold":true,"kept":0.51,"params":9,"params_without_tokens":8}\n' $i
        [ $i -eq 2 ] && printf '{"step":2,"top1":0.5,"top5":1,"images":4}\n'
        i=$((i + 1))
    done
    printf '{"step":%d,"top1":0.75,"top5":1,"images":4}\n' "$1"
}
teacher=$scratch/teacher student=$scratch/run/stage-1/model
mkdir -p "$scratch/run/stage-1"
"$make_weights" "$scratch/teacher.json" "$teacher"
"$make_weights" "$scratch/student.json" "$student"
log 6 3 >"$scratch/run/stage-1/log.jsonl"
teacher_facts="$(facts "$teacher" "$teacher" "$(pairs_of 0.5)" null),\"vision\":$(vit 32 2 4,4 128,128),\"text\":$(vit 16 2 2,2 64,64)"
student_facts="$(facts "$student" stage-1/model "$(pairs_of 0.4)" null),\"vision\":$(vit 16 1 2 -1),\"text\":$(vit 8 1 1 32)"
stage() { printf '{"name":"%s","inheritance":"auto","teacher_loss":"affinity","steps":6,"done":true,"folder":"stage-1","seconds":75.5,%s}' "$1" "$student_facts"; }
record() { # record STAGES FINISHED RECIPE
    printf '{"version":"0.1.0","command":["tinyclip","compress","%s","--name","it'"'"'s"],"recipe":{"name":"%s"},"recipe_name":"%s","seed":7,' "$teacher" "$3" "$3"
    printf '"data":{"spec":"%s","split":"train","samples":12345,"hash":"00000000000000cc"},' "$scratch/pairs"
    printf '"eval_data":{"spec":"%s","split":"all","samples":13,"hash":"00000000000000dd"},"machine":{"cpu":"avx2","threads":2},' "$scratch/pairs"
    printf '"teacher":{%s},"stages":[%s],"finished":%s}\n' "$teacher_facts" "$1" "$2"
}

# ---- a finished compression, with texts that would like to be more than text
evil='</style><img src=x onerror=y>\u0001\u202e'
record "$(stage "$evil")" true '<script>alert(1)</script>&\"'"'" >"$scratch/run/compress.json"
printf '<b>&"red\n' >"$scratch/pairs/0.txt"
run report "$scratch/run" -o "$page"
code "a finished compression: exit code" 0
holds "a finished compression: one line" sh -c "grep -q '^wrote $page: 1 compression, [0-9]* kB\$' '$out' && [ \$(wc -l <'$out') -eq 1 ]"
holds "the page is well-formed" nests "$page"
for part in models structure curves examples origin; do has "there is the part $part" "<section id=\"$part\">"; done
has "the sentence" "$(printf 'that keeps 80.0\302\240%% of its accuracy: 40.00\302\240%% where the teacher has 50.00\302\240%%.</p>')"
has "what accuracy is" "Accuracy is R@1, caption of an image."
has "how many samples it was measured on" "(all, 12 of 13 samples)"
has "time" "$(printf '6 steps in 1\302\240min 16\302\240s')"
has "measured images a second" '<td data-label="Images/s">1,230</td>'
has "how a layer's heads are told to who does not see them" "Layer 1: 2 of 4 heads, 0 of 128 FFN channels. Layer 2: left out."
has "width" "width 16 of 32"
has "sparsity" "$(printf '49.0\302\240%% folded')"
has "hashes" "<code>00000000000000dd</code>"
has "the command as a shell reads it" "--name &#39;it&#39;\\&#39;&#39;s&#39;</code>"
has "the recipe's name is text" "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"
has "a stage's name is text, without its control characters" "&lt;/style&gt;&lt;img src=x onerror=y&gt;$(printf '\357\277\275')"
has "a caption is text" "&lt;b&gt;&amp;&quot;red"
lacks "nothing runs" '<script|<[^>]* on[a-z]+="|javascript:'
lacks "nothing is fetched" '(src|href)="[^d#]|url\(|@import|<link|<iframe'
holds "12 examples" test "$(grep -c '<figure class="card">' "$page")" -eq 12
holds "an example is a PNG" sh -c "sed -n 's|.*src=\"data:image/png;base64,\\([^\"]*\\)\".*|\\1|p' '$page' | head -n 1 | base64 -d | head -c 4 | tail -c 3 | grep -q PNG"
holds "both models say something about each" test "$(grep -c '<p class="who">' "$page")" -eq 24
has "how many were looked at" "12 of 13 held-out images"
run report "$scratch/run" -o "$scratch/again.html"
same "the same again" "$page" "$scratch/again.html"
run report "$scratch/run" --examples 2
code "without -o: exit code" 0
holds "without -o the page is in the folder" test "$(grep -c '<figure class="card">' "$scratch/run/report.html")" -eq 2

# ---- what is not there any more
mv "$teacher" "$scratch/moved"
run report "$scratch/run" -o "$page"
code "the teacher is gone: exit code" 0
has "the teacher is gone: it is said" "Without teacher: $teacher: "
holds "the teacher is gone: the student still shows what it says" test "$(grep -c '<p class="who">' "$page")" -eq 12
mv "$scratch/moved" "$teacher"
sed 's/"params":[0-9]*,/"params":99,/2' "$scratch/run/compress.json" >"$scratch/other.json"
cp -r "$scratch/run" "$scratch/changed"
mv "$scratch/other.json" "$scratch/changed/compress.json"
run report "$scratch/changed" -o "$page"
has "a model that is another one now is not shown" "the model that was measured had 99"
sed 's/"weights_hash":null/"weights_hash":"00000000000000aa"/' "$scratch/run/compress.json" >"$scratch/changed/compress.json"
run report "$scratch/changed" -o "$page"
has "a model of other weights is not shown" "Without teacher: $teacher: its weights are not those that were measured"
mv "$scratch/pairs" "$scratch/away"
run report "$scratch/run" -o "$page"
code "the data is gone: exit code" 0
has "the data is gone: it is said" '<p class="missing">No examples: '
holds "the data is gone: well-formed" nests "$page"
run report "$scratch/run" -o "$page" --examples 0
lacks "--examples 0: no examples" 'id="examples"'
mv "$scratch/away" "$scratch/pairs"

# ---- labelled pictures, two stages of which one is going on
mkdir -p "$scratch/two/stage-1" "$scratch/two/stage-2"
cp -r "$student" "$scratch/two/stage-1/model"
log 6 0 >"$scratch/two/stage-1/log.jsonl"
log 3 2 | sed '$d' >"$scratch/two/stage-2/log.jsonl"
printf '{"step":4,"loss":' >>"$scratch/two/stage-2/log.jsonl"
printf '\0\0\010\003\0\0\0\004\0\0\0\001\0\0\0\001\0\377\0\377' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\004\0\001\0\001' >"$scratch/labels.idx"
printf '<i>black\nwhite\n' >"$scratch/classes"
second='{"name":"25","inheritance":"manual","teacher_loss":"affinity","steps":10,"done":false,"folder":"stage-2","seconds":0.0}'
labelled() { sed "s|\"eval_data\":{\"spec\":\"[^\"]*\"|\"eval_data\":{\"spec\":\"idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes\"|; s|\"top1\":null,\"top5\":null,\"images\":0|\"top1\":0.75,\"top5\":1,\"images\":4|g"; }
record "$(stage 50),$second" false two | labelled >"$scratch/two/compress.json"
run report "$scratch/two" -o "$page"
code "an unfinished compression: exit code" 0
holds "an unfinished compression: well-formed" nests "$page"
has "an unfinished compression says so" "$(printf 'A compression under way: 56.2\302\240%% of its steps are done')"
has "and where it is" "in stage 2 of 2 (25), step 3 of 10"
has "a class name is text" "&lt;i&gt;black"
has "classes are guessed" "<strong>white</strong>"
has "accuracy over steps" "Held-out zero-shot top-1."
printf '{"version":"0.1.0","teacher":{"path":"t"},"stages":[%s],"finished":false}' "$second" >"$scratch/two/compress.json"
run report "$scratch/two" -o "$page"
code "a compression that has just begun: exit code" 0
holds "a compression that has just begun: well-formed" nests "$page"
for what in "The command is not in compress.json." "No stage is done yet." "the compression had no data to be measured on" "No accuracy was measured"; do
    has "what is missing is said: $what" "$what"
done

# ---- accuracy by class, and what is taken for what
classes='"classes":[{"name":"black \& blue","images":2,"right":1,"taken_for":[{"class":1,"images":1}]},{"name":"white","images":2,"right":2,"taken_for":[]}],'
record "$(stage 50)" true two | labelled | sed "s/\"top1\":0.75/$classes&/g" >"$scratch/two/compress.json"
run report "$scratch/two" -o "$page" --examples 0
code "classes: exit code" 0
holds "classes: well-formed" nests "$page"
has "classes: there is the part" '<section id="classes">'
has "classes: what is taken for what" "$(printf '>50.0\302\240%%</span></span><small>50.0\302\240%% white</small></td>')"
has "classes: a name is text" '<th scope="row">black &amp; blue<small>2 images</small></th>'
has "classes: the bar tells how contents can be reached" '<a href="#classes">Classes</a>'
has "a command that uses the student" "tinyclip classify $scratch/two/stage-1/model photo.jpg --labels &#39;black &amp; blue,white&#39;"

# ---- speeds: what is said to be a multiple is the quotient of what is printed
speeds() { printf '{"models":[{"weights_hash":"00000000000000aa","images_per_second":%s,"texts_per_second":300},{"weights_hash":"00000000000000bb","images_per_second":%s,"texts_per_second":100}]}' "$1" "$2"; }
mkdir -p "$scratch/fast/one/stage-1" "$scratch/fast/two/stage-1"
sed 's/"weights_hash":null/"weights_hash":"00000000000000aa"/; s/"weights_hash":null/"weights_hash":"00000000000000bb"/' "$scratch/run/compress.json" >"$scratch/fast/one/compress.json"
sed 's/1234.5/9999/' "$scratch/fast/one/compress.json" >"$scratch/fast/two/compress.json"
run report "$scratch/fast" -o "$page" --examples 0
code "two measurements of the teacher: exit code" 0
has "two measurements: the first teacher is that of all" "$(printf '>1,230<small>1.00\302\240\303\227</small>')"
lacks "two measurements: there is one teacher" '<td data-label="Images/s">10,000</td>'
has "two measurements: that they were made one by one is said" "may have been in another state each time"
speeds 1004.9 1985.1 >"$scratch/fast/speed.json"
run report "$scratch/fast" -o "$page" --examples 0
has "one measurement: the teacher" '<td data-label="Images/s">1,000</td>'
has "one measurement: 1,990 is 1.99 times 1,000, although 1985.1 is 1.975 times 1004.9" "$(printf '>1,990<small>1.99\302\240\303\227</small>')"
has "one measurement: it is said" "all models in one go, taking turns"
bad_speed() { # bad_speed MESSAGE TEXT
    printf '%s' "$2" >"$scratch/fast/speed.json"
    run report "$scratch/fast" -o "$page" --examples 0
    code "refused speeds: $1: exit code" 1
    says "refused speeds" "$scratch/fast/speed.json: $1"
}
bad_speed "models is missing" '{}'
bad_speed "models[0] is not an object" '{"models":[1]}'
bad_speed "models[0].images_per_second is not a number from 0 to 1e+15" '{"models":[{"weights_hash":"aa","images_per_second":-1}]}'

rm -f "$scratch/run/speed.json"
run report "$scratch/run" -o "$page" --measure 0.01
code "nothing to measure: exit code" 1
says "nothing to measure" "$scratch/run: no model of it has been measured yet, and has a checksum"
holds "nothing to measure: nothing is noted" test ! -e "$scratch/run/speed.json"

# ---- several of one teacher
mkdir -p "$scratch/several/not-one"
cp -r "$scratch/run" "$scratch/several/a-half"
cp -r "$scratch/run" "$scratch/several/b & <half>"
run report "$scratch/several" -o "$page"
code "several compressions: exit code" 0
holds "several compressions: well-formed" nests "$page"
has "several compressions: how many" "2 students of"
has "several compressions: names of folders are text" "b &amp; &lt;half&gt;"
has "several compressions: accuracy over size" "Accuracy and size"
sed 's/"weights_hash":null/"weights_hash":"00000000000000aa"/' "$scratch/run/compress.json" >"$scratch/several/a-half/compress.json"
sed 's/"weights_hash":null/"weights_hash":"00000000000000ab"/' "$scratch/run/compress.json" >"$scratch/several/b & <half>/compress.json"
run report "$scratch/several" -o "$page"
code "several teachers: exit code" 1
says "several teachers" "a-half and $scratch/several/b & <half> have different teachers"

# ---- a ResNet
mkdir -p "$scratch/rn/stage-1"
cnn='{"kind":"resnet","width":4,"layers":4,"stages":[1,1,1,1],"channels":[2,2,4,4,8,8,16,16,32,32]}'
record "$(stage 50)" true rn | sed "s/\"vision\":{[^}]*}/\"vision\":$cnn/g; s/16,32,32\]\(.*\)16,32,32\]/16,32,32]\11,32,7]/" >"$scratch/rn/compress.json"
run report "$scratch/rn" -o "$page" --examples 0
code "a ResNet: exit code" 0
holds "a ResNet: well-formed" nests "$page"
has "a ResNet: channels of each block" "3.1: 16 of 16 channels of conv 1, 1 of 16 channels of conv 2. 4.1: 32 of 32 channels of conv 1, 7 of 32"

# ---- refused: one line that names file and value, and no page
rm -f "$page"
bad() { # bad MESSAGE SED-SCRIPT
    mkdir -p "$scratch/bad/stage-1"
    record "$(stage 50)" true bad | sed "$2" >"$scratch/bad/compress.json"
    run report "$scratch/bad" -o "$page"
    echo "tinyclip: $scratch/bad/compress.json: $1" >"$scratch/want"
    if [ "$code" -eq 1 ] && cmp -s "$scratch/want" "$err" && [ ! -e "$page" ]; then result "refused: $1" 1; else result "refused: $1" 0 "$err"; fi
}
bad "version is missing" 's/"version":"0.1.0",//'
bad "finished is neither true nor false" 's/"finished":true/"finished":1/'
bad "stages is not a list" 's/"stages":\[.*\]/"stages":{}/'
bad "stages has none, or too many" 's/"stages":\[.*\]/"stages":[]/'
bad "stages[0] is not an object" 's/"stages":\[.*\]/"stages":[3]/'
bad "stages[0].steps is not a whole number of at least 1" 's/"steps":6/"steps":0/'
bad "stages[0].steps is not a whole number of at least 1" 's/"steps":6/"steps":6.5/'
bad "stages[0].name is not a text" 's/"name":"50"/"name":50/'
bad "stages[0].folder is not the name of a folder" 's|"folder":"stage-1"|"folder":"../run"|'
bad "stages[0].folder is not the name of a folder" 's|"folder":"stage-1"|"folder":".."|'
bad "stages[0].seconds is not a number from 0 to 1e+15" 's/"seconds":75.5/"seconds":-1/'
bad "teacher.params is missing" 's/"teacher":{\(.*\)"params":[0-9]*,\("params_w.*"stages\)/"teacher":{\1\2/'
bad "teacher.vision.heads has not as many numbers as the tower has layers" 's/"heads":\[4,4\]/"heads":[4]/'
bad "teacher.vision.heads is missing" 's/"heads":\[4,4\],//'
bad "teacher.vision.heads[1] is not a whole number from 0 to 16777216" 's/"heads":\[4,4\]/"heads":[4,-1]/'
bad "teacher.vision.layers is not a whole number from 1 to 1024" 's/"layers":2,"heads":\[4/"layers":2000000000,"heads":[4/'
bad "teacher.vision.kind is no kind of tower" 's/"kind":"vit","width":32/"kind":"cnn","width":32/'
bad "teacher.retrieval.image_to_text.r1 is not a number from 0 to 1" 's/"r1":0.5/"r1":1.5/'
bad "finished is true, but not every stage is done" 's/"done":true/"done":false/'
bad "data.samples is not a whole number of at least 0" 's/12345/"many"/'
bad "command holds something that is no text" 's/"compress"/{}/'
bad "line 1, column 28: JSON: duplicate object key near '\"version\"'" 's/"version":"0.1.0"/"version":"0.1.0","version":1/'
whole=$(wc -c <"$scratch/run/compress.json") at=0 crashed=""
while [ $at -lt "$whole" ]; do
    head -c $at "$scratch/run/compress.json" >"$scratch/bad/compress.json"
    run report "$scratch/bad" -o "$page"
    { [ "$code" -eq 1 ] && [ "$(wc -l <"$err")" -eq 1 ]; } || crashed="$crashed $at"
    at=$((at + 97))
done
holds "a compress.json that is cut anywhere is refused" test -z "$crashed"

bad_log() { # bad_log MESSAGE LINE
    record "$(stage 50)" true bad >"$scratch/bad/compress.json"
    { log 2 0 | sed "3d" && printf '%s\n' "$2" && log 2 0; } >"$scratch/bad/stage-1/log.jsonl"
    run report "$scratch/bad" -o "$page"
    echo "tinyclip: $scratch/bad/stage-1/log.jsonl:4: $1" >"$scratch/want"
    if [ "$code" -eq 1 ] && cmp -s "$scratch/want" "$err"; then result "refused log: $1" 1; else result "refused log: $1" 0 "$err"; fi
}
bad_log "is not an object" '[]'
bad_log "step is not a whole number from 0 to 1000000000000" '{"step":-1}'
bad_log "step is missing" '{"loss":1}'
bad_log "step 1 follows step 2" '{"step":1,"loss":1}'
bad_log "loss is not a number" '{"step":2,"loss":"low"}'
bad_log "top1 is not a number from 0 to 1" '{"step":2,"top1":7}'
bad_log "not JSON" '{no'

mkdir "$scratch/empty"
run report "$scratch/empty" -o "$page"
code "a folder without a compression: exit code" 1
says "a folder without a compression" "$scratch/empty: no compress.json in it nor in its folders"
run report "$scratch/nowhere" -o "$page"
code "no folder: exit code" 1
run report "$scratch/run" -o "$scratch/nowhere/page.html" --examples 0
code "nowhere to write: exit code" 1
finish
