/* debian_sets.c - the data sets that Debian has as packages, by name.
 *
 * fashion-mnist (Xiao, Rasul, Vollgraf 2017): 60,000 pictures for training and 10,000 for testing; class
 * names and prompt templates are built into the library. tuxpaint: the stamps of the drawing program with
 * their descriptions; a tenth, by the hash of the path, is the test split. */
#include "data/source.h"

#include <string.h>

extern const char tc_file_data_fashion_mnist_classes[], tc_file_data_fashion_mnist_classes_end[];
extern const char tc_file_data_fashion_mnist_templates[], tc_file_data_fashion_mnist_templates_end[];

#define FASHION "/usr/share/datasets/fashion-mnist/"
#define STAMPS "/usr/share/tuxpaint/stamps"

static tc_status not_installed(const char *name, const char *path, const char *package, tc_error *err) {
    return tc_fail(err, TC_EIO, "%s: %s is not there; install the Debian package %s", name, path, package);
}

static tc_status open_fashion(tc_data *d, const char *spec, tc_error *err) {
    (void)spec;
    static const tc_idx_part parts[2] = {
        {FASHION "train-images-idx3-ubyte.gz", FASHION "train-labels-idx1-ubyte.gz"},
        {FASHION "t10k-images-idx3-ubyte.gz", FASHION "t10k-labels-idx1-ubyte.gz"}};
    const char *classes = tc_file_data_fashion_mnist_classes;
    const char *templates = tc_file_data_fashion_mnist_templates;
    if (!tc_path_exists(parts[0].images))
        return not_installed("fashion-mnist", parts[0].images, "dataset-fashion-mnist", err);
    tc_status status = tc_lines_parse(&d->classes, &d->nclasses, classes,
                                      (size_t)(tc_file_data_fashion_mnist_classes_end - classes),
                                      "fashion-mnist.classes", NULL, true, err);
    if (status == TC_OK)
        status = tc_lines_parse(&d->templates, &d->ntemplates, templates,
                                (size_t)(tc_file_data_fashion_mnist_templates_end - templates),
                                "fashion-mnist.templates", "{}", false, err);
    if (status != TC_OK) return status;
    return tc_idx_open(d, parts + (d->split == TC_SPLIT_TEST), d->split == TC_SPLIT_WHOLE ? 2 : 1, true, err);
}

static tc_status open_stamps(tc_data *d, const char *spec, tc_error *err) {
    (void)spec;
    if (!tc_path_is_dir(STAMPS)) return not_installed("tuxpaint", STAMPS, "tuxpaint-stamps-default", err);
    return tc_folder_open(d, STAMPS, err);
}

static bool is_fashion(const char *spec) { return strcmp(spec, "fashion-mnist") == 0; }

static bool is_stamps(const char *spec) { return strcmp(spec, "tuxpaint") == 0; }

const tc_data_form tc_form_fashion_mnist = {"fashion-mnist", "Fashion-MNIST", is_fashion, open_fashion};
const tc_data_form tc_form_tuxpaint = {"tuxpaint", "Tux Paint stamps", is_stamps, open_stamps};
