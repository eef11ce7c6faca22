/* zoo_table.c - the published models and their teachers: figures as published, nothing computed.
 * data/README.md names the sources.
 *
 * A name that two models share (the automatic ones, trained on other data) carries the data as well, as the
 * file on the release page does. */
#include "zoo/zoo.h"

#include <stdlib.h>
#include <string.h>

static const char SAME_TWIN[] = "the published MACs, 1.9 G, contradict those of its twin of the same size, "
                                "3.7 G, and are exactly those of ViT-22M/32";

#define STUDENT(Name, File, Config, Title, Inheritance, Data, Top1, Macs, Pairs, Image, Text, Note) \
    {                                                                                               \
        .name = Name, .file = File ".pt", .config = Config, .note = Note, .published = {            \
            .name = Title,                                                                          \
            .inheritance = Inheritance,                                                             \
            .data = Data,                                                                           \
            .top1 = Top1,                                                                           \
            .macs_g = Macs,                                                                         \
            .pairs_per_second = Pairs,                                                              \
            .params_image_m = Image,                                                                \
            .params_text_m = Text                                                                   \
        }                                                                                           \
    }
#define MANUAL(Name, Title, File, Data, Top1, Macs, Pairs, Image, Text) \
    STUDENT(Name, Name "-" File, Name, Title, "manual", Data, Top1, Macs, Pairs, Image, Text, NULL)
#define AUTO(Name, Title, Data, Top1, Macs, Pairs, Image, Text, Note) \
    STUDENT(Name, Name, NULL, Title, "auto", Data, Top1, Macs, Pairs, Image, Text, Note)
#define TEACHER(Name, Title, Data, Top1, Macs)                        \
    {                                                                 \
        .name = Name, .config = Name, .teacher = true, .published = { \
            .name = Title,                                            \
            .data = Data,                                             \
            .top1 = Top1,                                             \
            .macs_g = Macs                                            \
        }                                                             \
    }

static const tc_zoo_model models[] = {
    MANUAL("TinyCLIP-ViT-39M-16-Text-19M", "TinyCLIP-ViT-39M/16-Text-19M", "YFCC15M", "YFCC-15M", 63.5, 9.5,
           1469, 39, 19),
    MANUAL("TinyCLIP-ViT-8M-16-Text-3M", "TinyCLIP-ViT-8M/16-Text-3M", "YFCC15M", "YFCC-15M", 41.1, 2.0, 4150,
           8, 3),
    MANUAL("TinyCLIP-ResNet-30M-Text-29M", "TinyCLIP-ResNet-30M-Text-29M", "LAION400M", "LAION-400M", 59.1,
           6.9, 1811, 30, 29),
    MANUAL("TinyCLIP-ResNet-19M-Text-19M", "TinyCLIP-ResNet-19M-Text-19M", "LAION400M", "LAION-400M", 56.4,
           4.4, 3024, 19, 19),
    MANUAL("TinyCLIP-ViT-61M-32-Text-29M", "TinyCLIP-ViT-61M/32-Text-29M", "LAION400M", "LAION-400M", 62.4,
           5.3, 3191, 61, 29),
    MANUAL("TinyCLIP-ViT-40M-32-Text-19M", "TinyCLIP-ViT-40M/32-Text-19M", "LAION400M", "LAION-400M", 59.8,
           3.5, 4641, 40, 19),
    AUTO("TinyCLIP-auto-ViT-63M-32-Text-31M-LAION400M", "TinyCLIP-ViT-63M/32-Text-31M", "LAION-400M", 63.9,
         5.6, 2905, 63, 31, NULL),
    AUTO("TinyCLIP-auto-ViT-45M-32-Text-18M-LAION400M", "TinyCLIP-ViT-45M/32-Text-18M", "LAION-400M", 61.4,
         3.7, 3682, 45, 18, NULL),
    AUTO("TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M", "TinyCLIP-ViT-22M/32-Text-10M", "LAION-400M", 53.7,
         1.9, 5504, 22, 10, NULL),
    AUTO("TinyCLIP-auto-ViT-63M-32-Text-31M-LAIONYFCC400M", "TinyCLIP-ViT-63M/32-Text-31M",
         "LAION-400M + YFCC", 64.5, 5.6, 2909, 63, 31, NULL),
    AUTO("TinyCLIP-auto-ViT-45M-32-Text-18M-LAIONYFCC400M", "TinyCLIP-ViT-45M/32-Text-18M",
         "LAION-400M + YFCC", 62.7, 1.9, 3685, 45, 18, SAME_TWIN),
    TEACHER("ViT-B-32", "OpenCLIP ViT-B-32", "LAION-2B", 66.6, 7.39),
    TEACHER("ViT-B-16", "OpenCLIP ViT-B-16", "LAION-2B", 70.2, 20.55),
    TEACHER("ViT-B-32-quickgelu", "OpenAI ViT-B/32", "OpenAI's 400M pairs", 63.3, 7.39),
    TEACHER("ViT-B-16-quickgelu", "OpenAI ViT-B/16", "OpenAI's 400M pairs", 68.3, 20.55),
    TEACHER("RN50", "OpenAI RN50", "OpenAI's 400M pairs", 59.8, 9.09),
};

const tc_zoo_model *tc_zoo_at(int index) {
    return index >= 0 && index < (int)(sizeof models / sizeof *models) ? &models[index] : NULL;
}

/* ---- names */

/* '/' stands for '-' in names of files. */
static bool is_joint(char c) { return c == '/' || c == '-'; }

/* Whether two names are the same but for '/' and '-', "TinyCLIP-auto-" and "TinyCLIP-", and the suffix ".pt".
 */
static bool same_name(const char *a, const char *b) {
    static const char automatic[] = "TinyCLIP-auto-", plain[] = "TinyCLIP-";
    size_t skip = strlen(automatic), keep = strlen(plain);
    if (tc_starts_with(a, automatic)) a += skip;
    else if (tc_starts_with(a, plain)) a += keep;
    else return strcmp(a, b) == 0;
    if (tc_starts_with(b, automatic)) b += skip;
    else if (tc_starts_with(b, plain)) b += keep;
    else return false;
    size_t n = strlen(a) - (tc_ends_with(a, ".pt") ? 3 : 0);
    if (strlen(b) - (tc_ends_with(b, ".pt") ? 3 : 0) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] && !(is_joint(a[i]) && is_joint(b[i]))) return false;
    return true;
}

tc_status tc_zoo_find(const tc_zoo_model **out, const char *name, tc_error *err) {
    const tc_zoo_model *found = NULL;
    *out = NULL;
    for (int i = 0; tc_zoo_at(i); i++) {
        const tc_zoo_model *m = tc_zoo_at(i);
        bool same = same_name(m->name, name) || (m->file && same_name(m->file, name)) ||
                    same_name(m->published.name, name);
        if (!same) continue;
        if (found)
            return tc_fail(err, TC_EARG, "%s: two models have this name; say %s or %s", name, found->name,
                           m->name);
        found = m;
    }
    *out = found;
    return TC_OK;
}
