# docs.awk - what a document says that can be looked up, one finding a line: KIND, FILE:LINE, and what
# is to be looked up, with tabs between.
#
#   anchor    a heading, as the name that links use
#   link      the target of a link
#   where     a function and the file that a link says it is in
#   function  `name()` anywhere
#   file      `name.c`, `folder/name.sh`: a file of the tree
#   option    an option and the verb that it is given to; * in running text, where any verb will do
#   verb      a verb of the program
#
# Blocks between lines of ``` are commands; in them only what begins with tinyclip counts (a path
# before it, `$ `, NAME=VALUE and a pipe too).

function found(kind, what) { printf "%s\t%s:%d\t%s\n", kind, FILENAME, FNR, what }

function anchor_of(text) {
    gsub(/`|\*/, "", text)
    text = tolower(text)
    gsub(/[^a-z0-9 _-]/, "", text)
    gsub(/ /, "-", text)
    return text
}

# A command line in words: quotes keep words together; a comment or a redirection ends it, and so does
# what begins another command.
function read_command(line,    i, c, quote, word, n, words, verb) {
    n = 0; word = ""; quote = ""
    for (i = 1; i <= length(line) + 1; i++) {
        c = i > length(line) ? " " : substr(line, i, 1)
        if (quote != "") { if (c == quote) quote = ""; else word = word c; continue }
        if (c == "'" || c == "\"") { quote = c; word = word "_"; continue }
        if (c == "#" && word == "") break
        if (index("|;&<>)", c)) {
            words[++n] = word
            word = ""
            if (c == ">" || c == "<") break
            see_command(words, n)
            n = 0
            continue
        }
        if (c != " ") { word = word c; continue }
        if (word != "") words[++n] = word
        word = ""
    }
    see_command(words, n)
}

function see_command(words, n,    i, verb, option) {
    for (i = 1; i <= n && (words[i] == "" || words[i] ~ /^(\$|time|sudo|[A-Z_]+=.*)$/); i++);
    sub(/^\$\(/, "", words[i])
    if (i > n || words[i] !~ /^([.a-z\/-]*\/)?tinyclip$/) return
    verb = words[i + 1]
    if (i + 1 > n || verb ~ /^-/) return
    found("verb", verb)
    if (verb == "help") found("verb", words[i + 2])
    for (i += 2; i <= n; i++) {
        option = words[i]
        sub(/=.*/, "", option)
        if (option ~ /^--?[a-z]/) found("option", option " " verb)
    }
}

function read_code(text) {
    if (text ~ /^[a-zA-Z_][a-zA-Z0-9_]*\(\)$/) found("function", substr(text, 1, length(text) - 2))
    else if (text ~ /^[a-zA-Z0-9_.\/-]+\.(c|h|sh|py|inc|awk|mk)$/ && text !~ /NAME/) found("file", text)
    else if (text ~ /^--[a-z]/) { sub(/[ =].*/, "", text); found("option", text " *") }
    else if (text ~ /^tinyclip [a-z]/) read_command(text)
}

function read_prose(line,    text, target) {
    while (match(line, /\[[^]]*\]\([^) ]*\)/)) {
        text = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, 1, RSTART - 1) " " substr(line, RSTART + RLENGTH)
        target = text
        sub(/^.*\]\(/, "", target)
        sub(/\]\(.*/, "", text)
        if (target !~ /^(https?|mailto):/) found("link", target)
        if (text ~ /^`[a-zA-Z_0-9]+\(\)`$/) found("where", substr(text, 2, length(text) - 4) " " target)
        line = line " " text
    }
    while (match(line, /`[^`]+`/)) {
        text = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
        read_code(text)
    }
}

# Prose is read a paragraph at a time, since links go over the ends of lines; its line is the last one.
function end_paragraph() {
    read_prose(paragraph)
    paragraph = ""
}

FNR == 1 { paragraph = ""; block = 0; command = "" }
/^ *```/ { end_paragraph(); block = !block; command = ""; next }
block {
    command = command $0
    if (sub(/\\$/, " ", command)) next
    read_command(command)
    command = ""
    next
}
/^#+ / { text = $0; sub(/^#+ /, "", text); found("anchor", anchor_of(text)) }
{ paragraph = paragraph " " $0 }
/^$/ || /^[|#<]/ || /^ *[-*] / { end_paragraph() }
