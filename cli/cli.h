/* cli.h - what the verbs share: option tables, lists, models opened with the common options, printing.
 *
 * The program may exit where a library may not: when memory runs out, the helpers here print one line and end
 * it with code 1. */
#ifndef TC_CLI_H
#define TC_CLI_H

#include "tinyclip.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* ---- lists of owned strings */

typedef struct cli_list {
    char **items;
    size_t count, capacity;
} cli_list;
void cli_list_add(cli_list *l, const char *s);
void cli_list_free(cli_list *l);
/* n * size zeroed bytes, or the end of the program. */
void *cli_new(size_t n, size_t size);
/* p, or the end of the program if it is NULL: memory ran out. */
void *cli_or_end(void *p);
/* A text in memory of its own, as printf writes it; the caller frees it. */
char *cli_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- options */

typedef enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char * */
    CLI_FILE,   /* const char *, a file or folder, or a name that stands for one */
    CLI_MAYBE,  /* const char *, "" if the option has no value */
    CLI_CHOICE, /* const char *, one of those in `detail` */
    CLI_LIST,   /* cli_list, one item each time the option is given */
    CLI_MANY,   /* cli_list, every following argument up to the next option */
    CLI_INT,    /* int64_t */
    CLI_REAL,   /* double */
    CLI_SETTING /* a field of the structure at `at`, as its tc_setting says */
} cli_kind;

/* One option of a verb: its value lies `at` bytes from the beginning of the verb's structure. What --help and
 * the manual page say of it is this. */
typedef struct cli_option {
    const char *name, *value; /* "--top", "K" */
    cli_kind kind;
    size_t at;
    const char *help;
    double least, most; /* CLI_INT, CLI_REAL: the range; both 0: any */
    const void *detail; /* CLI_CHOICE: the text "hf|openclip"; CLI_SETTING: the tc_setting */
} cli_option;

/* Options made of the library's settings: those of a list that have none of the flags `without`. */
typedef struct cli_settings {
    const tc_setting *(*list)(size_t i);
    size_t at; /* of the structure that they are fields of */
    unsigned without;
} cli_settings;

/* The first member of every verb's structure. */
typedef struct cli_common {
    bool json;
    int64_t threads;
    const char *model_config, *activation, *tokenizer, *preprocess;
    int64_t image_size;
    bool exif;
} cli_common;

enum {
    CLI_WITH_JSON = 1,
    CLI_WITH_THREADS = 2,
    CLI_WITH_MODEL = 4,   /* --model-config, --activation, --image-size */
    CLI_WITH_TEXT = 8,    /* --tokenizer */
    CLI_WITH_IMAGES = 16, /* --preprocess, --exif */
    CLI_WITH_ALL = 31
};

typedef struct cli_verb {
    const char *name, *summary;   /* summary: one line for the list of verbs */
    const char *usage;            /* what follows the verb, one form a line */
    const char *description;      /* paragraphs, a newline between them */
    const char *examples;         /* commands, one a line */
    const cli_option *options;    /* ends with a NULL name */
    const cli_option *more;       /* options that several verbs share, likewise; or NULL */
    const cli_settings *settings; /* ends with a NULL list; or NULL */
    unsigned common;              /* CLI_WITH_ */
    const void *defaults;  /* the verb's structure as it is before its options are read: see cli_defaults */
    void (*prepare)(void); /* sets what in them is the library's; or NULL */
    int least_args, most_args; /* positional arguments; most -1: any number */
    int (*run)(const struct cli_verb *verb, int argc, char **argv);
} cli_verb;

extern const cli_verb cmd_classify, cmd_score, cmd_embed, cmd_tokenize, cmd_preprocess, cmd_info, cmd_train,
    cmd_inherit, cmd_distill, cmd_eval, cmd_bench, cmd_verify, cmd_demo, cmd_convert, cmd_zoo, cmd_diff,
    cmd_compress, cmd_report;
/* Option i of a verb: of its own table, of the library's settings, of the shared table; false past the end.
 */
bool cli_option_at(const cli_verb *verb, size_t i, cli_option *out);
const void *cli_defaults(const cli_verb *verb);
/* The verbs in the order of the help text; NULL past the end. */
const cli_verb *cli_verb_at(size_t i);
extern const cli_option cli_common_options[];
/* Whether a verb takes entry i of cli_common_options. */
bool cli_takes_common(const cli_verb *verb, size_t i);
/* What an option is unless it is given, as text; false if there is nothing to say. */
bool cli_default_text(const cli_option *o, const void *values, char *out, size_t size);

/* Reads the arguments that follow the verb into `values` and `args`, and sets the number of threads. False:
 * the program ends with *code, and whatever was to be said has been said. */
bool cli_parse(const cli_verb *verb, int argc, char **argv, void *values, cli_list *args, int *code);
/* Prints that an argument is missing, with the usage, and returns CLI_USAGE. */
int cli_argument_missing(const cli_verb *verb);
/* Frees the lists among the values. */
void cli_release(const cli_verb *verb, void *values, cli_list *args);
void cli_print_help(const cli_verb *verb);
/* The manual page, in roff, from the same tables as the help texts. */
void cli_print_manual(void);
/* The keys of recipes, in Markdown, from the tables of settings. */
void cli_print_recipe_keys(void);

/* ---- the machine */

bool cli_ends_with(const char *s, const char *suffix);
bool cli_path_exists(const char *path);
bool cli_path_is_dir(const char *path);
/* dir + "/" + name; the caller frees it. */
char *cli_path(const char *dir, const char *name);
/* mkdir -p. */
tc_status cli_make_dirs(const char *path, tc_error *err);
tc_status cli_write_file(const char *path, const char *text, size_t size, tc_error *err);
/* Seconds of a clock that only goes forwards. */
double cli_now(void);
/* Columns of the terminal that f is; 0 if it is none. */
int cli_columns(FILE *f);
/* Words of `text` filled into lines up to `width`, each but the first behind `indent` spaces; `column`: what
 * stands in the first already. */
void cli_fill(FILE *f, const char *text, int indent, int column, int width);
/* "1:02:03" or "4:05" */
const char *cli_duration(double seconds, char *buffer, size_t size);

/* ---- the keys of --json */

/* A row without a name begins a group, which `meaning` names; the last one has neither. */
typedef struct cli_key {
    const char *name, *type,
        *meaning; /* type: text, number, boolean, list or object, and perhaps " or null" */
} cli_key;
extern const cli_key cli_keys[];

/* ---- the nearest known word, for "did you mean 'X'?" */

typedef struct cli_nearest {
    const char *word;   /* as it was given; set this one, zero the rest */
    const char *before; /* what stands before each known word in the text; NULL: nothing */
    char text[160];     /* "; did you mean 'X'?", or "" if nothing that was offered is near */
    int errors;
    bool exact; /* the word was offered: it is known, and there is nothing to ask */
} cli_nearest;
/* Known words one by one; the first of the nearest ones stays. */
void cli_nearest_offer(cli_nearest *n, const char *known);

enum { CLI_KNOWN_FILES = 1, CLI_KNOWN_CONFIGS = 2, CLI_KNOWN_ZOO = 4, CLI_KNOWN_DATA = 8 };
/* Adds the nearest name that is known to the message of an error, if `name` is no file; if it is a folder
 * with a model in it that was not found, its path. `known`: CLI_KNOWN_. */
void cli_suggest(tc_error *err, const char *name, unsigned known);

/* ---- failures: to stderr, and with --json as {"error": {"status", "message"}} to stdout too */

/* Writes the message into err, which may be NULL, and returns `status`. */
tc_status cli_fail(tc_error *err, tc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Set once, before a verb runs. */
void cli_failures_as_json(bool wanted);
/* Prints the error and returns CLI_FAILED. */
int cli_failed(const tc_error *err);
/* Prints a usage error and returns CLI_USAGE; `verb` NULL: before there is one. */
int cli_usage(const cli_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The object that stands under "error"; status as tc_status_name says it, or "usage". */
json_t *cli_json_error(const char *status, const char *message);

/* ---- messages, all to stderr */

void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A tc_log_fn: a line of progress replaces the one before on a terminal, and is printed every few seconds
 * elsewhere. */
void cli_log(void *user, int level, const char *line);
/* A line of progress for work that takes longer than a second: "64 of 900 images, 30 a second". `start`:
 * cli_now() when it began. */
void cli_progress(const char *what, size_t done, size_t all, double start);
/* Ends a line of progress that stands on the terminal. */
void cli_log_end(void);

/* ---- inputs */

/* The images that `names` stand for: files; folders (every image below, sorted by path); "-": one name a line
 * on stdin. */
tc_status cli_images(const cli_list *names, cli_list *out, tc_error *err);
/* One text a line; `keep_blank` false leaves out blank ones. "-" is stdin. */
tc_status cli_lines(const char *path, bool keep_blank, cli_list *out, tc_error *err);

/* An array named on the command line, F.npy or F.safetensors:NAME, in the file that holds it, which the
 * caller closes. */
tc_status cli_array_open(tc_arrays **file, tc_array *out, const char *spec, tc_error *err);

/* What the options of a verb say about its data. */
typedef struct cli_data_args {
    const char *spec, *split, *templates, *caption_column, *image_column;
} cli_data_args;
#define CLI_DATA_HELP                                                                                 \
    "a folder (images with a .txt of the same name beside them), a .csv, idx:IMAGES,LABELS,CLASSES, " \
    "fashion-mnist or tuxpaint"
#define CLI_SPLIT_HELP \
    "; of data without parts of its own a tenth of the samples, chosen by their names, is test"
/* The data sets that have a name, up to NULL. */
extern const char *const cli_named_data[];
/* Opens it; `named_split` is the part that is taken of the sets with a name unless a split is given. */
tc_status cli_data_open(tc_data **out, const cli_data_args *a, const char *named_split, tc_error *err);

/* ---- models */

typedef struct cli_model {
    tc_model *model;
    const tc_model_info *info;
    tc_tokenizer *tokenizer;
    tc_preprocess preprocess;
    tc_session *session;
} cli_model;

enum {
    CLI_TOKENIZER = 1, /* open the tokenizer too */
    CLI_SESSION = 2,   /* make a session too */
    CLI_CONFIGS = 4,   /* a configuration's name or path is a model with random weights */
    CLI_SIZES = 8      /* likewise, but its weights are not wanted */
};
tc_status cli_model_open(cli_model *m, const char *path, const cli_common *o, unsigned flags, tc_error *err);
/* What the common options say about opening a model. */
tc_open_options cli_open_options(const cli_common *o);
/* tc_model_open, or the cached weights of a model of the zoo where nothing else has that name; says so if the
 * activation is a guess. */
tc_status cli_model_load(tc_model **out, const char *path, const tc_open_options *o, tc_error *err);
/* A model with random weights from a configuration, with the activation and image size of the common options.
 */
tc_status cli_model_create(tc_model **out, const char *config, uint64_t seed, const cli_common *o,
                           tc_error *err);
/* A built-in configuration's name, or a .json file. */
bool cli_names_configuration(const char *path);
/* The same where a model will do as well: a name whose weights are in the cache of the zoo is a model. */
bool cli_is_configuration(const char *path);
/* The common options applied to a model that is there already; takes it over. */
tc_status cli_model_adopt(cli_model *m, tc_model *model, const char *path, const cli_common *o,
                          unsigned flags, tc_error *err);
void cli_model_close(cli_model *m);
tc_tokenizer_kind cli_tokenizer_kind(const cli_common *o, tc_tokenizer_kind fallback);
void cli_preprocess_options(const cli_common *o, tc_preprocess *p);

enum { CLI_BATCH = 64 }; /* texts, or images prepared elsewhere, at once */
/* Lines of progress for a pass over images or texts. */
typedef struct cli_watch {
    const char *what; /* "images" */
    double start;     /* 0: from the first line on */
} cli_watch;
/* An on_progress of the library's passes; `user` begins with a cli_watch. */
void cli_watch_progress(void *user, int64_t done, int64_t all);
/* A pass over files with the preprocessing of the options; the first bad image is an error. For changes. */
tc_image_pass_options cli_pass_options(const cli_model *m, const cli_list *paths);
/* Embeds all of them: embeds [paths,E]. An image that cannot be read is an error. */
tc_status cli_embed_images(cli_model *m, const cli_list *paths, float *embeds, tc_error *err);
/* Embeds texts: embeds [texts,E]. Says on stderr which were cut. */
tc_status cli_embed_texts(cli_model *m, const cli_list *texts, float *embeds, tc_error *err);
/* ids [context] of one text, and what is said if it was cut. */
tc_status cli_tokenize(const tc_tokenizer *t, const char *text, int context, int32_t *ids, int *length,
                       tc_error *err);

/* ---- results */

/* A JSON string; bytes that are not UTF-8 become U+FFFD. */
json_t *cli_json_text(const char *s);
/* A number; null if it is not finite. */
json_t *cli_json_real(double x);
json_t *cli_json_floats(const float *x, size_t n);
json_t *cli_json_matrix(const float *x, size_t rows, size_t columns);
/* Prints a value on one line, floats with nine digits, and releases it; returns the exit code. */
int cli_print_json(json_t *value);
/* "[512,768]" */
const char *cli_shape(int ndim, const int64_t *shape, char *buffer, size_t size);
/* "39,512,345" */
const char *cli_grouped(int64_t n, char *buffer, size_t size);
/* A line of text, filled into the width of the terminal if standard output is one. */
void cli_print_prose(const char *text);
/* "4.41 G": three digits of a number of at least 0 */
const char *cli_amount(double x, char *buffer, size_t size);

#endif
