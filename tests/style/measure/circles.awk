# circles.awk - files that call each other in a circle, from lines "CALLER CALLEE ...": prints each circle on a line. A circle is a strongly
# connected component of more than one file (Tarjan 1972).
{ if (!(($1, $2) in seen)) { seen[$1, $2] = 1; callee[$1, ++callees[$1]] = $2; file[$1]; file[$2] } }

function visit(f,    i, g, circle, n) {
    number[f] = low[f] = ++count
    stack[++top] = f
    on[f] = 1
    for (i = 1; i <= callees[f]; i++) {
        g = callee[f, i]
        if (!(g in number)) {
            visit(g)
            if (low[g] < low[f]) low[f] = low[g]
        } else if (on[g] && number[g] < low[f]) low[f] = number[g]
    }
    if (low[f] != number[f]) return
    do {
        g = stack[top--]
        on[g] = 0
        circle = circle " " g
        n++
    } while (g != f)
    if (n > 1) print "circle:" circle
}

END { for (f in file) if (!(f in number)) visit(f) }
