# functions.awk - lengths of the functions of formatted C files: prints "LENGTH FILE:LINE" for each, counted from the line that opens the body to the
# one that closes it.
FNR == 1 { open = 0 }
!open && /^[a-zA-Z].*\) \{.*\}$/ { print 1, FILENAME ":" FNR; next }
!open && /^[a-zA-Z ].*\) \{$/ && !/^(enum|struct|typedef|static const|extern) / { open = FNR; next }
open && /^\}/ { print FNR - open + 1, FILENAME ":" open; open = 0 }
