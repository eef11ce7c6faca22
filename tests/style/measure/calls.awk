# calls.awk - who calls whom, from the output of `nm -A` over objects: prints "CALLER CALLEE SYMBOL" for each name that one file takes from
# another; a file is its path below obj/ without the ending.
{
    file = $1
    sub(/:.*/, "", file)
    sub(/.*\/obj\//, "", file)
    sub(/\.o$/, "", file)
    symbol = $NF
    kind = $(NF - 1)
}
kind ~ /^[TDBRVW]$/ { home[symbol] = file }
kind == "U" { wanted[file SUBSEP symbol] = 1 }
END {
    for (key in wanted) {
        split(key, part, SUBSEP)
        callee = home[part[2]]
        if (callee != "" && callee != part[1]) print part[1], callee, part[2]
    }
}
