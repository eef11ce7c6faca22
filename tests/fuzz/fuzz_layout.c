/* fuzz_layout.c - any bytes as a .safetensors file whose tensors are recognised as a model: alone, and with
 * the configurations of small models of which they may be what pruning left. What is recognised must be a
 * configuration that its own JSON gives back, and a model that can be built. */
#include "format/layout.h"
#include "net/resnet.h"
#include "store/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tc_config small(void) {
    tc_config c = {.embed_dim = 3, .image_size = 4, .context_length = 3, .vocab_size = 5, .eos_id = -1};
    c.vision = c.text =
        (tc_tower_config){.family = &tc_vit, .patch_size = 2, .width = 4, .layers = 2, .head_dim = 2};
    c.text.family = &tc_text_transformer;
    for (int i = 0; i < 2; i++) {
        c.vision.block[i].heads = c.text.block[i].heads = 2;
        c.vision.block[i].ffn = c.text.block[i].ffn = 6;
    }
    return c;
}

static tc_config small_resnet(void) {
    tc_config c = small();
    c.image_size = TC_RESNET_STRIDE;
    c.vision = (tc_tower_config){.family = &tc_modified_resnet,
                                 .width = 2,
                                 .layers = TC_STAGES,
                                 .head_dim = 16,
                                 .block = {{.heads = 4}}};
    for (int i = 0; i < TC_STAGES; i++) c.vision.stages[i] = 1;
    tc_resnet_fill(&c.vision);
    return c;
}

static void check(const tc_config *c) {
    tc_config again;
    tc_params params;
    tc_graph *image = NULL, *text = NULL;
    char difference[200];
    json_t *json = tc_config_full_json(c);
    if (tc_config_parse(&again, json, "again", NULL) != TC_OK ||
        tc_config_difference(c, &again, difference, sizeof difference))
        abort();
    json_decref(json);
    if (tc_net_params(&params, c, NULL) != TC_OK) return; /* too large for any memory */
    if (tc_net_graph(&image, TC_TOWER_VISION, c, &params, 0, NULL) != TC_OK ||
        tc_net_graph(&text, TC_TOWER_TEXT, c, &params, 0, NULL) != TC_OK)
        abort();
    tc_graph_free(&image);
    tc_graph_free(&text);
    tc_params_free(&params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tc_store *s;
    tc_layout l;
    tc_error err;
    tc_config c, given[] = {small(), small_resnet()};
    if (tc_store_open_memory(&s, data, size, &err) != TC_OK) return 0;
    if (tc_layout_read(&l, s, "memory", &err) == TC_OK) {
        for (int with = 0; with < 3; with++)
            if (tc_layout_config(&c, &l, with ? &given[with - 1] : NULL, &err) == TC_OK) check(&c);
        tc_layout_free(&l);
    }
    tc_store_close(&s);
    return 0;
}
