# nested.awk - conditional expressions within others in C files: prints "FILE:LINE" of the end of each statement that has one. Comments, strings and
# characters are left out; parentheses and commas begin anew.
function finish() { depth = 0; asked[0] = 0; told = 0 }
FNR == 1 { comment = 0; finish() }
/^#/ { next }
{
    line = $0
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        two = substr(line, i, 2)
        if (comment) {
            if (two == "*/") { comment = 0; i++ }
        } else if (two == "/*") { comment = 1; i++ }
        else if (c == "\"" || c == "'") {
            for (i++; i <= length(line) && substr(line, i, 1) != c; i++) if (substr(line, i, 1) == "\\") i++
        } else if (c == "(" || c == "[") asked[++depth] = 0
        else if ((c == ")" || c == "]") && depth > 0) depth--
        else if (c == ",") asked[depth] = 0
        else if (c == "?") {
            if (++asked[depth] > 1 && !told) { print FILENAME ":" FNR; told = 1 }
        } else if (c == ";" || c == "{" || c == "}") finish()
    }
}
