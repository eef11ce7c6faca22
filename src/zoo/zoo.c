/* zoo.c - what is known of a published model before and after its weights are here: its sizes, and where the
 * weights lie.
 *
 * A manual model's configuration says everything. An automatic one's structure is in its weights: it is
 * counted once they are in the cache. */
#include "zoo/zoo.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* XDG Base Directory Specification: an unset or empty XDG_CACHE_HOME means $HOME/.cache, a relative one is to
 * be ignored. */
char *tc_zoo_cache(void) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    tc_buf b = {0};
    if (cache && *cache == '/') tc_buf_puts(&b, cache);
    else if (home && *home) tc_buf_printf(&b, "%s/.cache", home);
    else return NULL;
    tc_buf_puts(&b, "/tinyclip");
    return tc_buf_take(&b);
}

char *tc_zoo_path(const tc_zoo_model *m) {
    char *dir = tc_zoo_cache(), *path = NULL;
    tc_buf b = {0};
    if (dir && m->file) {
        tc_buf_printf(&b, "%s/%s.safetensors", dir, m->name);
        path = tc_buf_take(&b);
    }
    free(dir);
    if (path && tc_path_exists(path)) return path;
    free(path);
    return NULL;
}

static tc_zoo_sizes sizes_of(const tc_model_info *i) {
    return (tc_zoo_sizes){.params = i->params,
                          .params_without_tokens = i->params_without_tokens,
                          .params_image = i->params_vision,
                          .params_text = i->params_text,
                          .macs = i->macs_image + i->macs_text};
}

static tc_status config_sizes(const char *name, tc_zoo_sizes *out, tc_error *err) {
    tc_config c;
    tc_model *m = NULL;
    tc_status status = tc_config_open(&c, name, err);
    if (status == TC_OK) status = tc_model_new(&m, &c, err);
    if (status == TC_OK) status = tc_model_count(m, err);
    if (status == TC_OK) *out = sizes_of(tc_model_get_info(m));
    tc_model_close(&m);
    return status;
}

tc_status tc_zoo_count(const tc_zoo_model *m, tc_zoo_sizes *out, tc_error *err) {
    *out = (tc_zoo_sizes){0};
    if (m->config)
        return tc_config_builtin(m->config, -1, NULL, NULL) ? config_sizes(m->config, out, err) : TC_OK;
    tc_model *model = NULL;
    char *path = tc_zoo_path(m);
    tc_status status = path ? tc_model_open(&model, path, NULL, err) : TC_OK;
    if (model) *out = sizes_of(tc_model_get_info(model));
    tc_model_close(&model);
    free(path);
    return status;
}

/* Half a million where a name is a rounded count. The automatic models' names say what the masks were driven
 * to, which they reach within about one part in a hundred of the teacher. */
static bool near(int64_t params, int millions, bool automatic) {
    return fabs((double)params / 1e6 - millions) <= (automatic ? 1 : 0.5);
}

tc_status tc_zoo_check(const tc_zoo_model *m, const tc_model *model, tc_error *err) {
    const tc_model_info *i = tc_model_get_info(model);
    bool automatic = !m->config;
    if (near(i->params_vision, m->published.params_image_m, automatic) &&
        near(i->params_text, m->published.params_text_m, automatic))
        return TC_OK;
    return tc_fail(
        err, TC_EFORMAT,
        "%s: the weights have %.2f and %.2f million parameters (image, text), which does not fit the name",
        m->name, (double)i->params_vision / 1e6, (double)i->params_text / 1e6);
}
