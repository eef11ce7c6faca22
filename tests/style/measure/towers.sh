#!/bin/sh
# towers.sh - files that ask for the kind of a tower by its enum, its name or its functions, outside the families themselves.
grep -lE 'TC_IMAGE_(VIT|RESNET)|image_tower|"(vit|resnet|ViT|ModifiedResNet)"|tc_net_resnet' -r src cli --include='*.[ch]' |
    grep -vE '^src/net/(vit|resnet|text|blocks|towers|tower)[a-z_]*\.[ch]$'
true
