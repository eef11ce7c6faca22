#!/bin/sh
# results.sh [STEP] [TINYCLIP] [OUT] - the paper's findings in small; makes what docs/RESULTS.md reports. STEP: teachers, search, runs, tables, or all.
#
# Two sets: Fashion-MNIST (Debian's dataset-fashion-mnist; zero-shot accuracy) and clip art (clipart.sh; retrieval among held-out pairs). For each there is one
# teacher, a search of the learning rate of each kind of student with a seed of its own, then every kind with three seeds. A run leaves one line,
# OUT/SET/RUN-SEED.json, and is not made again while that is there, so the script goes on where it was stopped. All lines together are
# OUT/results.jsonl; from it come the tables between the two marks in docs/RESULTS.md.
set -eu
LC_ALL=C
export LC_ALL
step=${1:-all} tinyclip=${2:-build/tinyclip} out=${3:-build/results}
here=$(dirname "$0")
page=$here/../docs/RESULTS.md
# SETS, SEEDS, KINDS and THREADS in the environment choose a part of it; two calls with one thread each and different parts use two cores best.
sets=${SETS:-fashion clipart} seeds=${SEEDS:-1 2 3} threads=${THREADS:-1} search_seed=9 rates="5e-4 1e-3 2e-3"

# What is the same for every run of a set. `steps` is the length of one stage, `every` the distance of the evaluations on the way; `views` are as many
# augmentations as the longest run has epochs, so that the cached features of the teacher, one cache a seed, change nothing.
settings() { # settings SET
    set=$1 dir=$out/$1 teacher=$out/$1/teacher/model
    case $set in
    fashion)
        data="--data fashion-mnist --batch 128" teacher_options="--steps 400 --batch 256 --lr 2e-3"
        watched="--eval-data fashion-mnist --eval-limit 1000" every=10 steps=200 views=1
        held_out="zeroshot --data fashion-mnist"
        ;;
    clipart)
        data="--data $dir/train.csv --batch 64 --crop-scale-min 0.5 --flip" teacher_options="--steps 500 --lr 1e-3"
        watched="--eval-data $dir/test.csv" every=10 steps=200 views=14
        held_out="retrieval --data $dir/test.csv"
        ;;
    esac
}

# The value of KEY in one line of JSON.
field() { sed -n 's/.*"'"$1"'": *"\{0,1\}\([-+.0-9e]*\).*/\1/p' "$2" | tail -n 1; } # field KEY FILE

model_of() { if [ -e "$1/model" ]; then echo "$1/model"; else echo "$1/model.safetensors"; fi; } # model_of RUN-SEED

# What a run gave, as one line. The score is the accuracy, or of pairs the mean of both directions' R@10.
write_line() { # write_line RUN SEED RATE STEPS
    f=$dir/$1-$2
    "$tinyclip" eval "$(model_of "$f")" $held_out --threads $threads --json >"$f.eval" 2>>"$f.err"
    "$tinyclip" info "$(model_of "$f")" --json | sed 's/, "config": .*//' >"$f.info"
    awk '
        function value(key,   s) { return match($0, "\"" key "\": *[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : "" }
        match($0, /"top1":[.0-9]+/) { print "[" value("step") "," value("top1") "]" }
        match($0, /"retrieval":/) {
            split($0, both, "\"text_to_image\"")
            step = value("step")
            $0 = both[1]; sum = value("r10")
            $0 = both[2]; print "[" step "," (sum + value("r10")) / 2 "]"
        }' "$f/log.jsonl" | paste -s -d , - >"$f.curve"
    if [ $set = fashion ]; then
        figures="\"score\":$(field top1 "$f.eval")"
    else
        a=$(field image_to_text_R@1 "$f.eval") b=$(field image_to_text_R@10 "$f.eval") c=$(field text_to_image_R@1 "$f.eval") d=$(field text_to_image_R@10 "$f.eval")
        figures="\"score\":$(echo "$b $d" | awk '{print ($1 + $2) / 2}'),\"i2t_r1\":$a,\"i2t_r10\":$b,\"t2i_r1\":$c,\"t2i_r10\":$d"
    fi
    printf '{"set":"%s","run":"%s","seed":%s,"lr":"%s","steps":%s,"params":%s,"macs":%s,%s,"seconds":%s,"curve":[%s]}\n' "$set" "$1" "$2" "$3" "$4" \
        "$(field params_without_tokens "$f.info")" "$(echo "$(field macs_image "$f.info") $(field macs_text "$f.info")" | awk '{printf "%.0f", $1 + $2}')" \
        "$figures" "$(field seconds "$f.out")" "$(cat "$f.curve")" >"$f.new"
    mv "$f.new" "$f.json"
}

# One training run and its line.
run() { # run RUN SEED RATE STEPS VERB ARG...
    name=$1 seed=$2 rate=$3 length=$4
    shift 4
    f=$dir/$name-$seed
    [ ! -s "$f.json" ] || return 0
    rm -rf "$f"
    echo "$set $name, seed $seed, lr $rate" >&2
    "$tinyclip" "$@" $data $watched --eval-every $every --threads $threads --seed "$seed" --lr "$rate" --steps "$length" --out "$f" --json >"$f.out" 2>"$f.err" ||
        { tail -n 3 "$f.err" >&2; exit 1; }
    write_line "$name" "$seed" "$rate" "$length"
    rm -f "$f"/checkpoint-*
}

# The kinds of students. `half` and `quarter` are configurations; automatic ones get as many parameters as those have.
kind() { # kind KIND NAME SEED RATE
    half=$here/$set-50.json quarter=$here/$set-25.json
    distill="distill --teacher $teacher --teacher-cache $dir/cache-$3 --cache-augmentations $views"
    # Gates start at 4.6 and move by about this rate a step; they are to come down to 0 well before the fold, after half of the steps.
    masks="--mask-lr $(echo $steps | awk '{print 16 / $1}')" masks_long="--mask-lr $(echo $steps | awk '{print 8 / $1}')"
    n50=$("$tinyclip" info "$half" --json | sed 's/, "config": .*//' >"$dir/half.info" && field params_without_tokens "$dir/half.info")
    n25=$("$tinyclip" info "$quarter" --json | sed 's/, "config": .*//' >"$dir/quarter.info" && field params_without_tokens "$dir/quarter.info")
    case $1 in
    scratch-50) run "$2" $3 $4 $steps $distill --student "$half" ;;
    manual-50) run "$2" $3 $4 $steps $distill --student "$half" --inherit ;;
    contrastive-50)
        [ -e "$dir/inherited" ] || "$tinyclip" inherit "$teacher" --config "$half" -o "$dir/inherited" >&2
        run "$2" $3 $4 $steps train --init "$dir/inherited"
        ;;
    auto-50) run "$2" $3 $4 $steps $distill --params $n50 $masks ;;
    auto-25) run "$2" $3 $4 $((2 * steps)) $distill --params $n25 $masks_long ;;
    auto-50-25) run "$2" $3 $4 $steps $distill --student "$(model_of "$dir/auto-50-$3")" --params $n25 $masks ;;
    manual-25) run "$2" $3 $4 $((2 * steps)) $distill --student "$quarter" --inherit ;;
    manual-50-25)
        [ -e "$dir/inherited-$3" ] || "$tinyclip" inherit "$(model_of "$dir/manual-50-$3")" --config "$quarter" -o "$dir/inherited-$3" >&2
        run "$2" $3 $4 $steps $distill --student "$dir/inherited-$3"
        ;;
    esac
}

# ---- the steps

teachers() {
    for s in $sets; do
        settings $s
        mkdir -p "$dir"
        [ $set != clipart ] || [ -s "$dir/test.csv" ] || sh "$here/clipart.sh" "$dir"
        f=$dir/teacher
        [ ! -s "$f-1.json" ] || continue
        rm -rf "$f"
        echo "$set teacher" >&2
        "$tinyclip" train --config "$here/$set-teacher.json" $data $teacher_options --out "$f" --threads $threads --seed 1 --json >"$f-1.out" 2>"$f-1.err"
        ln -sfn teacher "$f-1"
        write_line teacher 1 "${teacher_options##* }" "$(field steps "$f-1.out")"
    done
}

search() {
    for s in $sets; do
        settings $s
        for kind in ${KINDS:-scratch-50 manual-50 contrastive-50}; do
            for r in $rates; do kind $kind $kind-lr$r $search_seed $r; done
            cat "$dir/$kind-lr"*-$search_seed.json | awk '
                match($0, /"score":[.0-9]+/) { x = substr($0, RSTART + 8, RLENGTH - 8) + 0; match($0, /"lr":"[^"]*/); if (x > best) { best = x; lr = substr($0, RSTART + 6, RLENGTH - 6) } }
                END { print lr }' >"$dir/$kind.lr"
        done
    done
}

runs() {
    for seed_now in $seeds; do
        for s in $sets; do
            settings $s
            for kind in ${KINDS:-manual-50 auto-50 scratch-50 contrastive-50 auto-25 auto-50-25 manual-25 manual-50-25}; do
                case $kind in auto* | manual*) lr=$(cat "$dir/manual-50.lr") ;; *) lr=$(cat "$dir/$kind.lr") ;; esac
                kind $kind $kind $seed_now $lr
            done
        done
    done
}

tables() {
    cat "$out"/*/*-[0-9].json >"$out/results.jsonl"
    awk -f "$here/tables.awk" "$out/results.jsonl" >"$out/tables.md"
    awk -v tables="$out/tables.md" '
        /^<!-- end of tables -->/ { inside = 0 }
        !inside
        /^<!-- tables/ { inside = 1; while ((getline line <tables) > 0) print line; print "" }' "$page" >"$out/page.md"
    cp "$out/page.md" "$page"
}

case $step in
teachers | search | runs | tables) $step ;;
all)
    teachers
    search
    runs
    tables
    ;;
*)
    echo "results.sh: '$step' is none of teachers, search, runs, tables, all" >&2
    exit 2
    ;;
esac
