/* builtin.c - the configurations that the program carries (configs/, embedded at build time). */
#include "net/config.h"

#include <string.h>

#define BUILTIN(symbol) \
    extern const char tc_file_configs_##symbol##_json[], tc_file_configs_##symbol##_json_end[];
BUILTIN(TinyCLIP_ViT_39M_16_Text_19M)
BUILTIN(TinyCLIP_ViT_8M_16_Text_3M)
BUILTIN(TinyCLIP_ViT_61M_32_Text_29M)
BUILTIN(TinyCLIP_ViT_40M_32_Text_19M)
BUILTIN(ViT_B_32)
BUILTIN(ViT_B_16)
BUILTIN(ViT_B_32_quickgelu)
BUILTIN(ViT_B_16_quickgelu)
BUILTIN(TinyCLIP_ResNet_30M_Text_29M)
BUILTIN(TinyCLIP_ResNet_19M_Text_19M)
BUILTIN(RN50)
BUILTIN(RN50_quickgelu)
#undef BUILTIN

const char *tc_config_builtin(const char *name, int index, const char **found, size_t *size) {
#define ENTRY(text, symbol) \
    { text, tc_file_configs_##symbol##_json, tc_file_configs_##symbol##_json_end }
    static const struct {
        const char *name, *start, *end;
    } table[] = {ENTRY("TinyCLIP-ViT-39M-16-Text-19M", TinyCLIP_ViT_39M_16_Text_19M),
                 ENTRY("TinyCLIP-ViT-8M-16-Text-3M", TinyCLIP_ViT_8M_16_Text_3M),
                 ENTRY("TinyCLIP-ViT-61M-32-Text-29M", TinyCLIP_ViT_61M_32_Text_29M),
                 ENTRY("TinyCLIP-ViT-40M-32-Text-19M", TinyCLIP_ViT_40M_32_Text_19M),
                 ENTRY("ViT-B-32", ViT_B_32),
                 ENTRY("ViT-B-16", ViT_B_16),
                 ENTRY("ViT-B-32-quickgelu", ViT_B_32_quickgelu),
                 ENTRY("ViT-B-16-quickgelu", ViT_B_16_quickgelu),
                 ENTRY("TinyCLIP-ResNet-30M-Text-29M", TinyCLIP_ResNet_30M_Text_29M),
                 ENTRY("TinyCLIP-ResNet-19M-Text-19M", TinyCLIP_ResNet_19M_Text_19M),
                 ENTRY("RN50", RN50),
                 ENTRY("RN50-quickgelu", RN50_quickgelu)};
#undef ENTRY
    for (int i = 0; i < (int)(sizeof table / sizeof *table); i++) {
        if (index >= 0 ? i != index : strcmp(table[i].name, name) != 0) continue;
        if (found) *found = table[i].name;
        if (size) *size = (size_t)(table[i].end - table[i].start);
        return table[i].start;
    }
    return NULL;
}
