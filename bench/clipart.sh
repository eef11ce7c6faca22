#!/bin/sh
# clipart.sh DIR - pairs of image and caption from Debian's clip art: makes DIR/train.csv, DIR/test.csv and DIR/pictures.
#
# The packages openclipart-svg and openclipart-png hold the same pictures; titles and keywords stand in the SVG files, the pictures are taken from the PNG
# files. A caption is the title, then the keywords. Left out are pictures that lack either, captions that several pictures have (series of icons or
# cards with one description for all) and PNG files above 400 kB. The pictures are made small once, 96 pixels at most; every fifth pair is for testing.
set -eu
LC_ALL=C
export LC_ALL
dir=$1 root=/usr/share/openclipart
if [ ! -d $root/svg ] || [ ! -d $root/png ] || ! command -v pamscale >/dev/null; then
    echo "clipart.sh: install the packages openclipart-svg, openclipart-png and netpbm" >&2
    exit 1
fi
mkdir -p "$dir/pictures"

# SVG file, title, keywords; only what stands before the end of the metadata is read.
find $root/svg -name '*.svg' ! -path '*/shapes/stars/*' ! -path '*/duplicates/*' | sort | tr '\n' '\0' | xargs -0 awk '
    function text(tag) { s = $0; sub(".*<" tag ">", "", s); sub(/<.*/, "", s); return s }
    function flush() { if (file != "") printf "%s\t%s\t%s\n", file, title, keys }
    FNR == 1 { flush(); file = FILENAME; title = keys = "" }
    /<dc:title>/ && !titles[file]++ { title = text("dc:title") }
    /<rdf:li>/ { keys = keys "," text("rdf:li") }
    /<\/metadata>/ { nextfile }
    END { flush() }' >"$dir/titles"

# PNG file, caption.
awk -F '\t' '
    function tidy(s) { gsub(/&amp;/, "\\&", s); gsub(/&[a-z#0-9]*;|"/, "", s); gsub(/_/, " ", s); gsub(/^ +| +$/, "", s); return s }
    {
        caption = tidy($2)
        n = split($3, words, ",")
        keys = ""
        for (i = 1; i <= n; i++) if (words[i] !~ /^ *(hash.*|unsorted|)$/) keys = keys ", " tidy(words[i])
        if (caption == "" || keys == "") next
        file = $1
        sub("/svg/", "/png/", file)
        sub(/svg$/, "png", file)
        count[tolower(caption keys)]++
        all[NR] = file "\t" caption keys
    }
    END {
        for (i = 1; i <= NR; i++) {
            split(all[i], p, "\t")
            if (i in all && count[tolower(p[2])] == 1) print all[i]
        }
    }' "$dir/titles" >"$dir/captions"

cut -f 1 "$dir/captions" | xargs sh -c 'for f; do [ ! -f "$f" ] || find "$f" -size -400k; done' sh | sort >"$dir/files"
sort "$dir/captions" | join -t '	' "$dir/files" - | awk '{print NR "\t" $0}' >"$dir/pairs"
cut -f 1,2 "$dir/pairs" | xargs -P 2 -n 2 sh -c 'pngtopam -alphapam "$2" 2>/dev/null | pamscale -quiet -xyfit 96 96 | pamtopng -quiet >"$0/$1.png"' "$dir/pictures"

awk -F '\t' -v dir="$dir" '
    BEGIN { for (k = 0; k < 2; k++) print "image,caption" >(dir (k ? "/test.new" : "/train.new")) }
    { printf "pictures/%d.png,\"%s\"\n", $1, $3 >(dir (NR % 5 ? "/train.new" : "/test.new")) }' "$dir/pairs"
mv "$dir/train.new" "$dir/train.csv"
mv "$dir/test.new" "$dir/test.csv"
