# tables.awk - the lines of results.jsonl as the tables of docs/RESULTS.md. Means and standard deviations (n - 1) over the seeds; differences are taken seed
# by seed. A steps ratio is the steps of the run from random weights over the first evaluation of the inherited one that reaches what the former had at
# its last evaluation.
function value(key) { return match($0, "\"" key "\":\"?[-+.0-9e]+") ? number_of(substr($0, RSTART, RLENGTH)) : "" }
function number_of(s) { sub(/^[^:]*:"?/, "", s); return s + 0 }
function word(key,   s) { if (!match($0, "\"" key "\":\"[^\"]*")) return ""; s = substr($0, RSTART, RLENGTH); sub(/^.*:"/, "", s); return s }
function mean(a, n,   i, s) { for (i = 1; i <= n; i++) s += a[i]; return n ? s / n : 0 }
function sd(a, n,   i, m, s) { m = mean(a, n); for (i = 1; i <= n; i++) s += (a[i] - m) ^ 2; return n > 1 ? sqrt(s / (n - 1)) : 0 }
# The values of a figure of one kind over the seeds, into `list`.
function collect(set, run, key, scale,   s, n) {
    for (s = 1; s <= 3; s++) if ((set, run, s, key) in x) list[++n] = scale * x[set, run, s, key]
    return n
}
function spread(set, run, key, scale, digits,   n) {
    n = collect(set, run, key, scale)
    return n ? sprintf("%." digits "f ± %." digits "f", mean(list, n), sd(list, n)) : "–"
}
function grouped(n,   s) { s = sprintf("%.0f", n); while (s ~ /[0-9][0-9][0-9][0-9]/) s = regroup(s); return s }
function regroup(s,   i) { i = match(s, /[0-9]+/); i = RSTART + RLENGTH - 3; return substr(s, 1, i - 1) "," substr(s, i) }
function difference(set, a, b,   s, n) {
    for (s = 1; s <= 3; s++)
        if ((set, a, s, "score") in x && (set, b, s, "score") in x) list[++n] = 100 * (x[set, a, s, "score"] - x[set, b, s, "score"])
    return n ? sprintf("%+.2f ± %.2f", mean(list, n), sd(list, n)) : "–"
}
function first_step(curve, goal,   pairs, n, i, p) {
    gsub(/^\[\[|\]\]$/, "", curve)
    n = split(curve, pairs, /\],\[/)
    for (i = 1; i <= n; i++) { split(pairs[i], p, ","); if (p[2] + 0 >= goal) return p[1] + 0 }
    return 0
}
function last_value(curve,   pairs, n, p) {
    gsub(/^\[\[|\]\]$/, "", curve)
    n = split(curve, pairs, /\],\[/)
    split(pairs[n], p, ",")
    return p[2] + 0
}
function ratio_row(set, b,   s, n, at, text, low, high) {
    for (s = 1; s <= 3; s++) {
        if (!((set, "scratch-50", s) in curves) || !((set, b, s) in curves)) continue
        at = first_step(curves[set, b, s], last_value(curves[set, "scratch-50", s]))
        if (!at) { text = text " never"; continue }
        list[++n] = x[set, "scratch-50", s, "steps"] / at
        text = text (text ? ", " : "") at
    }
    for (s = 1; s <= n; s++) { if (!low || list[s] < low) low = list[s]; if (list[s] > high) high = list[s] }
    return n ? sprintf("%s | %.1f (%.1f to %.1f)", text, mean(list, n), low, high) : "– | –"
}

{
    set = word("set"); run = word("run"); seed = value("seed")
    n = split("score params macs steps seconds i2t_r1 i2t_r10 t2i_r1 t2i_r10", keys, " ")
    for (i = 1; i <= n; i++) if (value(keys[i]) != "") x[set, run, seed, keys[i]] = value(keys[i])
    rate[set, run] = word("lr")
    if (match($0, /"curve":.*/)) { c = substr($0, RSTART + 8); sub(/\}$/, "", c); curves[set, run, seed] = c }
}

END {
    nsets = split("fashion clipart", sets, " ")
    title["fashion"] = "Fashion-MNIST: zero-shot top-1 % on 10,000 test pictures"
    title["clipart"] = "Clip art: retrieval among the held-out pairs, %"
    kinds = split("scratch-50 contrastive-50 manual-50 auto-50 manual-25 manual-50-25 auto-25 auto-50-25", kind, " ")
    name["scratch-50"] = "50 %, random start, affinity"
    name["contrastive-50"] = "50 %, manual, contrastive loss alone"
    name["manual-50"] = "50 %, manual, affinity"
    name["auto-50"] = "50 %, automatic, affinity"
    name["manual-25"] = "25 %, manual, one stage"
    name["manual-50-25"] = "25 %, manual, two stages"
    name["auto-25"] = "25 %, automatic, one stage"
    name["auto-50-25"] = "25 %, automatic, two stages"
    for (k = 1; k <= nsets; k++) {
        set = sets[k]
        pairs = set == "clipart"
        printf "\n### %s\n\n", title[set]
        if (pairs) print "| model | parameters | MACs (M) | steps | R@10, both ways | R@1 image→text | R@1 text→image | R@10 image→text | R@10 text→image | lr |\n|---|---|---|---|---|---|---|---|---|---|"
        else print "| model | parameters | MACs (M) | steps | top-1 | lr |\n|---|---|---|---|---|---|"
        t = 100 * x[set, "teacher", 1, "score"]
        printf "| teacher | %s | %.1f | %d | %.2f |", grouped(x[set, "teacher", 1, "params"]), x[set, "teacher", 1, "macs"] / 1e6, x[set, "teacher", 1, "steps"], t
        if (pairs) printf " %.2f | %.2f | %.2f | %.2f |", 100 * x[set, "teacher", 1, "i2t_r1"], 100 * x[set, "teacher", 1, "t2i_r1"], 100 * x[set, "teacher", 1, "i2t_r10"], 100 * x[set, "teacher", 1, "t2i_r10"]
        printf " %s |\n", rate[set, "teacher"]
        for (i = 1; i <= kinds; i++) {
            r = kind[i]
            if (!collect(set, r, "score", 1)) continue
            stages = r ~ /-50-25$/
            n = collect(set, r, "params", 1); params = mean(list, n)
            n = collect(set, r, "macs", 1); macs = mean(list, n)
            n = collect(set, r, "steps", 1); steps = mean(list, n)
            printf "| %s | %s | %.1f | %s | %s |", name[r], grouped(params), macs / 1e6, stages ? steps " + " steps : steps, spread(set, r, "score", 100, 2)
            if (pairs) printf " %s | %s | %s | %s |", spread(set, r, "i2t_r1", 100, 1), spread(set, r, "t2i_r1", 100, 1), spread(set, r, "i2t_r10", 100, 1), spread(set, r, "t2i_r10", 100, 1)
            printf " %s |\n", rate[set, r]
        }
    }
    print "\n### The four questions\n"
    print "Differences of top-1 (Fashion-MNIST) and of R@10 (clip art), in points, seed by seed.\n"
    print "| | Fashion-MNIST | clip art |\n|---|---|---|"
    printf "| (a) inherited − random start, 50 %% | %s | %s |\n", difference("fashion", "manual-50", "scratch-50"), difference("clipart", "manual-50", "scratch-50")
    printf "| (b) automatic − manual, 50 %% | %s | %s |\n", difference("fashion", "auto-50", "manual-50"), difference("clipart", "auto-50", "manual-50")
    printf "| (c) two stages − one, 25 %%, automatic | %s | %s |\n", difference("fashion", "auto-50-25", "auto-25"), difference("clipart", "auto-50-25", "auto-25")
    printf "| (c) two stages − one, 25 %%, manual | %s | %s |\n", difference("fashion", "manual-50-25", "manual-25"), difference("clipart", "manual-50-25", "manual-25")
    printf "| (d) affinity − contrastive loss, 50 %%, manual | %s | %s |\n", difference("fashion", "manual-50", "contrastive-50"), difference("clipart", "manual-50", "contrastive-50")
    print "\n| (a) steps to what the random start has at its end | steps at seeds 1, 2, 3 | times fewer: mean (range) |\n|---|---|---|"
    for (k = 1; k <= nsets; k++) printf "| %s, of %d | %s |\n", sets[k], x[sets[k], "scratch-50", 1, "steps"], ratio_row(sets[k], "manual-50")
    print "\n| search, seed 9: score at each rate | random start | contrastive | manual |\n|---|---|---|---|"
    nrates = split("5e-4 1e-3 2e-3", rates, " ")
    for (k = 1; k <= nsets; k++)
        for (j = 1; j <= nrates; j++) {
            printf "| %s, %s |", sets[k], rates[j]
            for (i = 1; i <= 3; i++) {
                r = kind[i] "-lr" rates[j]
                if ((sets[k], r, 9, "score") in x) printf " %.2f |", 100 * x[sets[k], r, 9, "score"]
                else printf " – |"
            }
            print ""
        }
}
