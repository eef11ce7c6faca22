/* debian_sets.c - the data sets that Debian has as packages, by name.
 *
 * fashion-mnist (Xiao, Rasul, Vollgraf 2017): 60,000 pictures for training and 10,000 for testing; class
 * names and prompt templates are built into the library. tuxpaint: the stamps of the drawing program with
 * their descriptions; a tenth, by the hash of the path, is the test split. */
#include "data/source.h"

extern const char tc_file_data_fashion_mnist_classes[], tc_file_data_fashion_mnist_classes_end[];
extern const char tc_file_data_fashion_mnist_templates[], tc_file_data_fashion_mnist_templates_end[];

#define FASHION "/usr/share/datasets/fashion-mnist/"
#define STAMPS "/usr/share/tuxpaint/stamps"

static tc_status not_installed(const char *name, const char *path, const char *package, tc_error *err) {
    return tc_fail(err, TC_EIO, "%s: %s is not there; install the Debian package %s", name, path, package);
}

tc_status tc_fashion_mnist_open(tc_data *d, tc_error *err) {
    static const tc_idx_part parts[2] = {
        {FASHION "train-images-idx3-ubyte.gz", FASHION "train-labels-idx1-ubyte.gz"},
        {FASHION "t10k-images-idx3-ubyte.gz", FASHION "t10k-labels-idx1-ubyte.gz"}};
    const char *classes = tc_file_data_fashion_mnist_classes,
               *templates = tc_file_data_fashion_mnist_templates;
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

tc_status tc_tuxpaint_open(tc_data *d, tc_error *err) {
    if (!tc_path_is_dir(STAMPS)) return not_installed("tuxpaint", STAMPS, "tuxpaint-stamps-default", err);
    return tc_folder_open(d, STAMPS, err);
}
