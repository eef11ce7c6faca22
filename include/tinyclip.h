/* tinyclip.h - small CLIP models: make them, run them, measure them.
 *
 * The whole public interface of libtinyclip. It compiles alone as C11 and as C++. These rules hold
 * everywhere:
 *
 * Errors: a function that can fail returns tc_status (TC_OK is 0) and takes a `tc_error *`, which may be
 * NULL. On failure the error holds one message: what was wrong, where, and what to do. Outputs are then
 * untouched or empty. The library never prints, exits or aborts.
 *
 * Objects: tc_X_open and tc_X_create give one that the caller owns; tc_X_close(&x) frees it and sets the
 * pointer to NULL, and NULL is fine. What else the caller frees, with free(), is said where it is given.
 * Paths and texts are UTF-8.
 *
 * Threads: a `const` object may be shared between threads; a non-const one belongs to one thread at a time.
 * Functions without an object are thread-safe.
 *
 * Options: structs of them are filled by their tc_X_options_default() first.
 *
 * Growth: a struct that a program may own ends with `reserved`, room for the fields of later versions. It is
 * 0; sizes never change within a major version, and a later field that is 0 does what was done before it was
 * there. Options in which the room is not empty are refused (TC_EARG). What is only ever given by pointer
 * (tc_model_info, tc_diff, tc_zoo_model, tc_setting) grows at its end instead: do not copy it. tc_error is as
 * it is.
 *
 * Shapes in comments are row-major, slowest axis first. B is a batch, E is embed_dim, S the side of an image.
 */
#ifndef TINYCLIP_H
#define TINYCLIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TC_VERSION "0.1.0"
#define TC_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */

/* What the shared library exports: the functions that are marked with it here, and nothing else. */
#if defined __GNUC__
#define TC_API __attribute__((visibility("default")))
#else
#define TC_API
#endif

/* The version of the library that is running, which need not be that of the header: "0.1.0". */
TC_API const char *tc_version(void);
/* The same as TC_VERSION_NUMBER, to compare. */
TC_API int tc_version_number(void);

/* ---- status and errors */

typedef enum tc_status {
    TC_OK = 0,
    TC_EIO,          /* the operating system refused: missing file, no permission, full disk */
    TC_EFORMAT,      /* a file or text breaks the rules of its format */
    TC_EARG,         /* a setting or an argument makes no sense, alone or with the model */
    TC_ENOMEM,       /* memory ran out, or a size limit was reached */
    TC_EUNSUPPORTED, /* well-formed, but of a kind that this library does not handle */
    TC_ESTATE        /* the work cannot go on: loss not finite, locked folder, no valid checkpoint */
} tc_status;

/* "ok", "io", "format", "argument", "memory", "unsupported" or "state". */
TC_API const char *tc_status_name(tc_status s);

typedef struct tc_error {
    tc_status status;
    char message[1024]; /* lower case, no full stop, NUL-terminated */
} tc_error;

/* Called with one line of text (no newline) when there is something to tell, e.g. progress. level: 0 progress
 * (replaces the last progress line), 1 information, 2 warning. Called from the thread that called the
 * library. */
typedef void (*tc_log_fn)(void *user, int level, const char *line);

/* ---- machine */

/* The name of the kernel set in use: "ref", "avx2" or "avx512". Fixed at first use from the CPU and from the
 * environment variable TINYCLIP_CPU=ref|avx2|avx512, which caps the whole program, oneDNN included.
 * Thread-safe. */
TC_API const char *tc_cpu_level(void);

/* Sets the number of threads for all sessions and training of this process. n < 1: as many as there are
 * processors. A session may have a number of its own: tc_session_set_threads. */
TC_API void tc_set_threads(int n);
/* That number; 1 on a thread that does a part of shared work, as those that call tc_data_callbacks do. */
TC_API int tc_threads(void);

/* ---- tokenizer */

typedef enum tc_tokenizer_kind {
    TC_TOKENIZER_OPENCLIP, /* ftfy repairs, HTML entities, white space, lower case; padded with 0 */
    /* as transformers' CLIPTokenizer: NFC, white space, lower case; padded with 49407 */
    TC_TOKENIZER_HF
} tc_tokenizer_kind;

typedef struct tc_tokenizer tc_tokenizer;

/* The tokenizer with the vocabulary that is built into the library. That of a model is given by
 * tc_model_tokenizer. */
TC_API tc_status tc_tokenizer_create(tc_tokenizer **out, tc_tokenizer_kind kind, tc_error *err);
/* The same with the vocabulary of a folder's vocab.json and merges.txt. TC_EFORMAT: what is wrong where. */
TC_API tc_status tc_tokenizer_open(tc_tokenizer **out, const char *dir, tc_tokenizer_kind kind,
                                   tc_error *err);
TC_API void tc_tokenizer_close(tc_tokenizer **t);

/* Encodes one text: start, pieces, end, padding, `context` ids in all. A longer text is cut and its last id
 * is the end; then *truncated is the number of ids that did not fit (0 otherwise). `length` gets the number
 * of ids before padding. Both may be NULL. text need not be valid UTF-8: bad bytes become U+FFFD. Thread-safe
 * on one tokenizer. */
TC_API tc_status tc_tokenizer_encode(const tc_tokenizer *t, const char *text, int context,
                                     int32_t *ids /* [context] */, int *length, int *truncated,
                                     tc_error *err);
/* The same for a text of `size` bytes, which may hold NUL. */
TC_API tc_status tc_tokenizer_encode_n(const tc_tokenizer *t, const char *text, size_t size, int context,
                                       int32_t *ids /* [context] */, int *length, int *truncated,
                                       tc_error *err);
/* Number of ids; ids run from 0 to this minus 1. */
TC_API int tc_tokenizer_size(const tc_tokenizer *t);
/* The cleaned text that the tokenizer splits; the caller frees it with free(). */
TC_API tc_status tc_tokenizer_clean(const tc_tokenizer *t, const char *text, char **out, tc_error *err);
/* The same for a text of `size` bytes; *out_size (may be NULL) gets the length of *out, which may hold NUL,
 * too. */
TC_API tc_status tc_tokenizer_clean_n(const tc_tokenizer *t, const char *text, size_t size, char **out,
                                      size_t *out_size, tc_error *err);

/* ---- images */

typedef enum tc_image_order {
    TC_IMAGE_OPENCLIP, /* resize in the file's own mode, crop (rounded), convert to RGB */
    TC_IMAGE_HF        /* composite alpha on white, convert to RGB, resize, crop (floored) */
} tc_image_order;

typedef struct tc_preprocess {
    int resize;            /* length of the shorter side after the resize, pixels; 0: no resize */
    int crop;              /* side of the centred square crop, pixels: the S of the shapes below */
    float mean[3], std[3]; /* of the values scaled to 0..1, red, green, blue */
    float rescale;         /* what a byte is multiplied by first; 1/255 */
    tc_image_order order;
    bool exif;           /* apply the EXIF orientation; the reference does not */
    int64_t pixel_limit; /* images with more pixels are refused before decoding; 89,478,485 by default */
    uint64_t reserved[4];
} tc_preprocess;

/* What kind of picture a file is by its first bytes, e.g. "a JPEG picture", of formats that are not decoded
 * too; NULL if it is none or cannot be read. Thread-safe. */
TC_API const char *tc_picture_kind(const char *path);
/* CLIP's own settings for a model of this image_size. */
TC_API tc_preprocess tc_preprocess_default(int image_size);
/* Decodes (JPEG, PNG, WebP, GIF, BMP, by content) and preprocesses one image that lies in memory.
 * pixel_values: [3,S,S] or NULL; crop: the bytes before normalisation, [S,S,3] or NULL. `name` is for
 * messages. Thread-safe. */
TC_API tc_status tc_preprocess_bytes(const tc_preprocess *p, const void *bytes, size_t size, const char *name,
                                     float *pixel_values, uint8_t *crop, tc_error *err);
/* The same of a file. */
TC_API tc_status tc_preprocess_file(const tc_preprocess *p, const char *path, float *pixel_values,
                                    uint8_t *crop, tc_error *err);

/* ---- models */

typedef enum tc_activation { TC_GELU, TC_QUICK_GELU, TC_RELU } tc_activation;

typedef struct tc_model tc_model;

typedef struct tc_open_options {
    /* path of the configuration of a model that has none beside it, or the name of a built-in one; NULL: none
     */
    const char *config;
    /* "gelu" or "quick_gelu", whatever file and configuration say; NULL: as they say */
    const char *activation;
    /* images of this size, pixels: positions are resized bicubically, as OpenCLIP does; 0: the model's own */
    int image_size;
    uint64_t reserved[8];
} tc_open_options;
TC_API tc_open_options tc_open_options_default(void);

/* Opens a Hugging Face or OpenCLIP folder, a project .safetensors file, or a checkpoint in any of the layouts
 * of OpenCLIP, OpenAI, Hugging Face and the official TinyCLIP code, pruned ones included. Its configuration
 * is taken from options, from beside the file, or, of a model that is not pruned and has heads of CLIP's
 * size, from the tensors. The weights stay in the mapped file until they are used; half-precision ones are
 * widened. Strict: a tensor that is missing, left over or of the wrong shape, or two tensors for one
 * parameter that differ, is an error (TC_EFORMAT) that names it. options NULL: the usual ones. */
TC_API tc_status tc_model_open(tc_model **out, const char *path, const tc_open_options *options,
                               tc_error *err);
/* A model with random weights (CLIP's initialisation) from a configuration: a built-in name or the path of an
 * OpenCLIP or Hugging Face configuration JSON. The weights are a pure function of configuration and seed. */
TC_API tc_status tc_model_create(tc_model **out, const char *config, uint64_t seed, tc_error *err);

typedef struct tc_create_options {
    uint64_t seed;          /* 1 */
    const char *activation; /* as in tc_open_options */
    int image_size;         /* another than the configuration's, pixels; 0: the configuration's */
    /* no weights are drawn (all but the logit scale are 0): for questions about sizes, which then take
     * neither time nor memory */
    bool without_values;
    uint64_t reserved[8];
} tc_create_options;
TC_API tc_create_options tc_create_options_default(void);
/* The same with options; NULL: the usual ones. */
TC_API tc_status tc_model_create_with(tc_model **out, const char *config, const tc_create_options *options,
                                      tc_error *err);
/* Sessions of it must be closed before. */
TC_API void tc_model_close(tc_model **m);

/* The forms in which a model is written. What a form cannot express is TC_EUNSUPPORTED, with the reason and
 * the form that can. */
typedef enum tc_format {
    /* FILE if the path ends in .safetensors, else HF */
    TC_FORMAT_AUTO,
    /* A folder that CLIPModel and CLIPProcessor.from_pretrained open. No pruned models (blocks that differ),
     * no ModifiedResNet. */
    TC_FORMAT_HF,
    /* the project's single file, which holds any model */
    TC_FORMAT_FILE,
    /* A folder for open_clip's local-dir: (open_clip_model.safetensors, open_clip_config.json); if the path
     * ends in .safetensors that file, with its configuration beside it as NAME.json. No pruned models; one
     * activation and one image size. */
    TC_FORMAT_OPENCLIP,
    /* A folder of vision_model.onnx (pixel_values [B,3,S,S] f32 -> image_embeds [B,E]) and text_model.onnx
     * (input_ids [T,L] int64, L at most the context length -> text_embeds [T,E]), both as they leave the
     * projection, not normalised; and model.onnx (both inputs -> logits_per_image [B,T], logits_per_text
     * [T,B], image_embeds and text_embeds normalised). B, T and L are free. Operator set 17, IR version 8;
     * 16-bit weights are widened in the graph, which computes in f32. A file is at most 2 GiB. */
    TC_FORMAT_ONNX
} tc_format;
/* How weights are stored. Those of 16 bits are rounded to nearest even; a number that is too large for f16 is
 * an error that names its tensor. */
typedef enum tc_precision { TC_PRECISION_F32, TC_PRECISION_F16, TC_PRECISION_BF16 } tc_precision;

typedef struct tc_save_options {
    tc_format format;
    tc_precision precision; /* of every tensor */
    tc_log_fn log;          /* progress of a second or more, and what a form leaves out; or NULL */
    void *log_user;
    uint64_t reserved[8];
} tc_save_options;
TC_API tc_save_options tc_save_options_default(void);

/* Writes a model. Each file is atomic; one tensor at a time is in memory. options NULL: AUTO, in f32. */
TC_API tc_status tc_model_save_as(const tc_model *m, const char *path, const tc_save_options *options,
                                  tc_error *err);
/* The same in that form, in f32. */
TC_API tc_status tc_model_save(const tc_model *m, const char *path, tc_format format, tc_error *err);

typedef struct tc_model_info {
    const char *architecture; /* of the image tower: "ViT" or "ModifiedResNet" */
    const char *source;       /* layout of the file it came from, e.g. "huggingface" */
    int embed_dim;
    int image_size, patch_size, vision_layers, vision_width, vision_heads;
    int context_length, vocab_size, text_layers, text_width, text_heads;
    /* ModifiedResNet: blocks of each stage, vision_layers in all; patch_size is 0, vision_width the stem's */
    int vision_stages[4];
    /* Layers differ in heads or FFN channels, or the heads do not fill the width (vision_heads and text_heads
     * are then the largest), or a ModifiedResNet has fewer inner channels than one of its width. */
    bool pruned;
    /* [vision_layers] heads, and FFN channels (-1: the layer has no FFN) */
    const int *vision_layer_heads, *vision_layer_ffn;
    const int *text_layer_heads, *text_layer_ffn; /* [text_layers] */
    /* ModifiedResNet: [2 + 2 * vision_layers] what the stem's first two convolutions give, then the first two
     * of each block; else NULL */
    const int *vision_channels;
    tc_activation vision_activation, text_activation;
    /* where the activation was taken from, e.g. "layout: OpenAI archives use QuickGELU" */
    const char *activation_source;
    /* nothing said which: it is GELU, OpenCLIP's default, and the caller may want to say so */
    bool activation_assumed;
    int64_t params;                /* all parameters */
    int64_t params_without_tokens; /* without the token table, as published counts are */
    /* what masks can take away: matrices and biases of attention and FFN; ResNet: convolutions with inner
     * channels */
    int64_t params_prunable;
    int64_t params_vision, params_text; /* the towers; text without the token table */
    /* multiply-accumulates of one image and one full-length text, nominal (every position) */
    double macs_image, macs_text;
    double macs_image_used, macs_text_used; /* what is really computed, for a text of 10 tokens */
    float logit_scale;                      /* as stored: a logarithm */
    const char *card;                       /* the model card, JSON text, or NULL */
    int vision_channel_count;               /* of vision_channels */
} tc_model_info;
/* Valid as long as the model is open. */
TC_API const tc_model_info *tc_model_get_info(const tc_model *m);
/* What a pruned model has left in each layer of both towers, as a table of lines of text; the caller frees
 * it. NULL if memory ran out. */
TC_API char *tc_model_layers(const tc_model *m);
/* Names of the built-in configurations; NULL past the end. */
TC_API const char *tc_builtin_config(int index);
/* Sets the model card, JSON text (copied); NULL removes it. */
TC_API tc_status tc_model_set_card(tc_model *m, const char *card, tc_error *err);
/* Sets the preprocessing that is saved with the model (copied). */
TC_API void tc_model_set_preprocess(tc_model *m, const tc_preprocess *p);
/* The model's configuration as OpenCLIP-style JSON text; the caller frees it. NULL if memory ran out. */
TC_API char *tc_model_config_json(const tc_model *m);
/* Compares the model with a configuration (as tc_model_create takes it): `text` gets the first difference, or
 * "" if there is none; cut at `size`. */
TC_API tc_status tc_model_config_difference(const tc_model *m, const char *config, char *text, size_t size,
                                            tc_error *err);
/* Parameter i: canonical (OpenCLIP) name, up to 4 axes, and the type that it is stored as ("F32", "BF16"
 * ...), all valid as long as the model is open. Returns false past the end. */
TC_API bool tc_model_tensor(const tc_model *m, size_t i, const char **name, int *ndim, int64_t shape[4],
                            const char **dtype);
/* The values of parameter i, row-major -> values [product of its shape], as floats, whatever they are stored
 * as. TC_EARG past the end. Thread-safe. */
TC_API tc_status tc_model_tensor_read(const tc_model *m, size_t i, float *values, tc_error *err);
/* The preprocessing that belongs to the model: its preprocessor file's, or the defaults of its kind. */
TC_API tc_preprocess tc_model_preprocess(const tc_model *m);
/* The tokenizer that belongs to the model. The caller closes it. */
TC_API tc_status tc_model_tokenizer(const tc_model *m, tc_tokenizer **out, tc_error *err);
/* How that one cleans texts. */
TC_API tc_tokenizer_kind tc_model_tokenizer_kind(const tc_model *m);

/* Manual weight inheritance (TinyCLIP section 3.2): a student of configuration `config` whose every tensor is
 * the leading part of its teacher's, blocks taken every floor(T/S)-th. logit_scale keeps its initial value
 * ln(1/0.07). Image size, patch size and the sizes of heads must be equal, all others at most the teacher's;
 * else TC_EARG. */
TC_API tc_status tc_model_inherit(tc_model **out, const tc_model *teacher, const char *config, tc_error *err);

/* ---- comparison of two models */

/* A setting in which two models differ: of the configuration, the preprocessing or the tokenizer. */
typedef struct tc_diff_setting {
    char what[48], a[64], b[64];
    uint64_t reserved[2];
} tc_diff_setting;

typedef enum tc_diff_kind {
    TC_DIFF_ONLY_A, /* the other model has no such tensor */
    TC_DIFF_ONLY_B,
    TC_DIFF_SHAPE,
    TC_DIFF_VALUES,
    TC_DIFF_NONE
} tc_diff_kind;

typedef struct tc_diff_tensor {
    char name[96]; /* canonical (OpenCLIP), whatever the layout */
    tc_diff_kind kind;
    int ndim_a, ndim_b; /* -1: it is not there */
    int64_t shape_a[4], shape_b[4];
    /* of tensors of one shape; NAN if a value that is not finite stands against another one */
    double max_abs;     /* largest |a - b| */
    double relative_l2; /* |a - b| / max(|a|, |b|), Euclidean norms; 0 if both are 0 */
    double cosine;      /* between a and b as vectors; 1 if they are equal */
    uint64_t reserved[2];
} tc_diff_tensor;

typedef struct tc_diff {
    tc_diff_setting *settings;
    size_t setting_count;
    /* all of both; those of one side first, then other shapes, then by relative_l2, largest first; equal ones
     * last */
    tc_diff_tensor *tensors;
    size_t tensor_count, different; /* the first `different` of them differ */
    bool equal;                     /* no setting and no tensor differs */
} tc_diff;

/* Compares two models, of any layouts, tensor by tensor; not more than two tensors are in memory at a time.
 * Tensors of one shape count as equal if no value differs by more than `tolerance`. What a model says of its
 * origin (card, layout, dtype) is not compared. The caller frees *out with tc_diff_free. */
TC_API tc_status tc_model_diff(tc_diff **out, const tc_model *a, const tc_model *b, double tolerance,
                               tc_error *err);
TC_API void tc_diff_free(tc_diff **d);

/* ---- sessions */

typedef struct tc_session tc_session;

/* Room to run a model: one a thread; the model is shared and must outlive it. Buffers grow with the largest
 * batch seen; after that no call allocates. What it computes is the same, bit for bit, whatever the number of
 * threads, and whatever else is in the batch; but for a ModifiedResNet's images, whose last bits depend on
 * both. */
TC_API tc_status tc_session_create(tc_session **out, const tc_model *m, tc_error *err);
TC_API void tc_session_close(tc_session **s);
/* How many threads this session works with, whatever tc_set_threads says; n < 1: as many as that says, which
 * is so from the beginning. For programs that run several sessions at once. */
TC_API void tc_session_set_threads(tc_session *s, int n);
TC_API int tc_session_threads(const tc_session *s);
/* The model that it runs. */
TC_API const tc_model *tc_session_model(const tc_session *s);
/* pixel_values [n,3,S,S] -> image_embeds [n,E], not normalised. */
TC_API tc_status tc_session_encode_image(tc_session *s, const float *pixel_values, int n, float *image_embeds,
                                         tc_error *err);
/* input_ids [n,context], any padding -> text_embeds [n,E], not normalised. context is at most the model's;
 * a row ends with its end-of-text id. TC_EARG: a context that is longer, or an id outside the vocabulary. */
TC_API tc_status tc_session_encode_text(tc_session *s, const int32_t *input_ids, int n, int context,
                                        float *text_embeds, tc_error *err);
/* Rows of x [n,dim] divided by their length, in place. */
TC_API void tc_normalize(float *x, int n, int dim);
/* logits [n,m] = scale * image_embeds [n,dim] . text_embeds [m,dim]^T of rows already normalised. */
TC_API void tc_logits(const float *image, const float *text, int n, int m, int dim, float scale,
                      float *logits);
/* Softmax over each row of x [n,m], in place. */
TC_API void tc_softmax(float *x, int n, int m);

/* best [k]: the columns of the k largest of x [n], best first, equal values in index order; -1 where n < k.
 * NAN is less than any number. */
TC_API void tc_top_k(const float *x, int n, int k, int *best);

/* ---- zoo: the published models */

/* Figures as they were published, none of them computed here. Sources: the paper (arXiv 2309.12314) and the
 * page of its model zoo; of the teachers, OpenCLIP's tables of results and profiles. */
typedef struct tc_zoo_published {
    const char *name;        /* as in the published table */
    const char *inheritance; /* "manual", "auto"; NULL: a teacher */
    const char *data;        /* trained on */
    double top1;             /* ImageNet-1K zero-shot top-1, percent */
    double macs_g;           /* 10^9 multiply-accumulates of an image and a text */
    double pairs_per_second; /* on a V100; 0: not published */
    /* the numbers in the name, 10^6, without the token table; 0: there are none */
    int params_image_m, params_text_m;
} tc_zoo_published;

typedef struct tc_zoo_model {
    const char *name;   /* unique; what `tinyclip zoo pull` and every MODEL argument take */
    const char *file;   /* on the release page; NULL: it is not there (the teachers) */
    const char *config; /* the name of its configuration; NULL: its structure is in its weights */
    const char *note;   /* what is wrong with the published figures; or NULL */
    bool teacher;
    tc_zoo_published published;
} tc_zoo_model;
/* Model i of the zoo; NULL past the end. */
TC_API const tc_zoo_model *tc_zoo_at(int index);
/* The model of that name, written as `name`, as in the published table, or as the file. *out is NULL if there
 * is none; two of one name are an error that says what to write instead. */
TC_API tc_status tc_zoo_find(const tc_zoo_model **out, const char *name, tc_error *err);

typedef struct tc_zoo_sizes {
    /* as in tc_model_info; all 0: not known until the weights are there */
    int64_t params, params_without_tokens, params_image, params_text;
    /* of an image and a full-length text, every position */
    double macs;
    uint64_t reserved[4];
} tc_zoo_sizes;
/* Counted from the model's graph: that of its configuration, or of the weights in the cache. */
TC_API tc_status tc_zoo_count(const tc_zoo_model *m, tc_zoo_sizes *out, tc_error *err);

/* The folder that weights are kept in: $XDG_CACHE_HOME/tinyclip, or $HOME/.cache/tinyclip. The caller frees
 * it; NULL if neither variable is set. */
TC_API char *tc_zoo_cache(void);
/* The file in that folder that holds the model, for tc_model_open. The caller frees it; NULL if it is not
 * there. */
TC_API char *tc_zoo_path(const tc_zoo_model *m);
/* TC_OK if the parameters of the two towers fit the numbers in the name. */
TC_API tc_status tc_zoo_check(const tc_zoo_model *m, const tc_model *model, tc_error *err);

typedef struct tc_zoo_options {
    /* where the files lie, without the last '/'; NULL: $TINYCLIP_ZOO_URL, or the release page */
    const char *url;
    /* attempts that bring less than 1 MiB, one after the other, before it gives up */
    int retries;
    double wait;                           /* seconds before the second attempt; doubled each time */
    double connect_timeout, stall_timeout; /* seconds without a connection, and without data */
    int64_t size_limit;                    /* bytes */
    /* download again, and accept a file of another checksum than the first one's */
    bool force;
    tc_log_fn log;
    void *log_user;
    uint64_t reserved[8];
} tc_zoo_options;
TC_API tc_zoo_options tc_zoo_options_default(void);
/* Puts a model into the cache: downloads its file, going on from what an earlier call left; compares its
 * SHA-256 with the one that was recorded when it was first downloaded (the release page publishes none);
 * opens it strictly, checks it with tc_zoo_check and writes it as this project's single file. A model that is
 * there already is only checked. Several processes may do this at once: one works, the others wait. *path
 * (may be NULL) is what tc_zoo_path gives. Errors: TC_EIO network, TC_EFORMAT contents, TC_ENOMEM too large,
 * TC_EARG a teacher. */
TC_API tc_status tc_zoo_pull(const tc_zoo_model *m, const tc_zoo_options *options, char **path,
                             tc_error *err);

/* ---- data */

typedef struct tc_data tc_data;

typedef struct tc_data_options {
    /* "train", "test" or NULL (whole); of data without a split of its own, a tenth, chosen by the names, is
     * "test" */
    const char *split;
    /* path of a file with one prompt template a line, "{}" where the class name goes; NULL: the data's own */
    const char *templates;
    const char *caption_column, *image_column; /* CSV; NULL: found by the usual names */
    int64_t pixel_limit;
    uint64_t reserved[8];
} tc_data_options;
TC_API tc_data_options tc_data_options_default(void);

/* `spec`: a folder (images with a .txt of the same name beside them, at any depth), a .csv file,
 * idx:IMAGES,LABELS,CLASSES, or the names fashion-mnist and tuxpaint for Debian's packages. */
TC_API tc_status tc_data_open(tc_data **out, const char *spec, const tc_data_options *options, tc_error *err);

TC_API void tc_data_close(tc_data **d);

/* Number of samples, numbered from 0. Functions on data are thread-safe. */
TC_API int64_t tc_data_count(const tc_data *d);
/* Number of classes; 0 for image-caption pairs. */
TC_API int tc_data_classes(const tc_data *d);
/* Name of class c, valid as long as d is open; NULL if there is none. */
TC_API const char *tc_data_class_name(const tc_data *d, int c);
/* Number of prompt templates, of labelled data, and template t likewise, with "{}" where the name goes. */
TC_API int tc_data_templates(const tc_data *d);
TC_API const char *tc_data_template(const tc_data *d, int t);
/* Class of a sample, from 0; -1 for pairs. */
TC_API int tc_data_label(const tc_data *d, int64_t i);
/* A name of a sample for messages, a path or a number: in buffer [size], or valid as long as d is open. */
TC_API const char *tc_data_name(const tc_data *d, int64_t i, char *buffer, size_t size);
/* What was left out while the source was listed, and why, one reason a line "12 images without a caption"; ""
 * if nothing. */
TC_API const char *tc_data_skipped(const tc_data *d);
/* The caption of a sample; of labelled data its class's name in template t. Written to buffer [size], cut at
 * its size. */
TC_API tc_status tc_data_caption(const tc_data *d, int64_t i, int t, char *buffer, size_t size,
                                 tc_error *err);
/* The image of a sample, preprocessed: pixel_values [3,S,S]. */
TC_API tc_status tc_data_image(const tc_data *d, int64_t i, const tc_preprocess *p, float *pixel_values,
                               tc_error *err);

/* ---- data in a form of one's own */

/* The image of a sample, as it is kept: the bytes of a file (JPEG, PNG, WebP, GIF, BMP) with width 0, or
 * pixels. */
typedef struct tc_sample_image {
    const void *bytes; /* [size], of a file; or [height,width,channels] */
    size_t size;
    int width, height; /* of pixels; 0, 0: the bytes are those of a file */
    int channels;      /* of pixels: 1 gray, 3 red, green, blue */
    void *own;         /* whatever `release` wants to know */
    uint64_t reserved[4];
} tc_sample_image;

/* Samples that a program gives by functions. These are called by several threads at once. What they return
 * other than TC_OK is an error of that sample: it is left out, as a damaged file is; a message may be written
 * to err. */
typedef struct tc_data_callbacks {
    const char *name; /* of the data, for messages; copied */
    int64_t count;    /* of samples */
    /* Labelled data: names of the classes [classes] and prompt templates [n_templates], with "{}" where the
     * name goes (0: "a photo of a {}."), copied; and the class of a sample, asked once for each. */
    const char *const *class_names;
    const char *const *templates;
    int classes, n_templates;
    int (*label)(void *user, int64_t i);
    /* Pairs (classes 0): the caption of a sample, UTF-8, into buffer [size], cut if it does not fit. */
    tc_status (*caption)(void *user, int64_t i, char *buffer, size_t size, tc_error *err);
    /* The image of a sample; *image is zeroed. Its bytes stay until `release` is called for it (or, without
     * that, as long as the data is open), and are not changed. */
    tc_status (*image)(void *user, int64_t i, tc_sample_image *image, tc_error *err);
    void (*release)(void *user, int64_t i, tc_sample_image *image); /* or NULL */
    void (*close)(void *user);                                      /* called by tc_data_close; or NULL */
    void *user;
    /* A number that is another one whenever the data is, so that a cache of a teacher's features, or a
     * compression, that is gone on with can tell; 0: all images are asked for and hashed then. */
    uint64_t version;
    uint64_t reserved[8];
} tc_data_callbacks;
TC_API tc_data_callbacks tc_data_callbacks_default(void);
/* Data for all that takes tc_data. If it fails, `close` is not called. Errors: TC_EARG something is missing,
 * or a label is no class. */
TC_API tc_status tc_data_from_callbacks(tc_data **out, const tc_data_callbacks *callbacks, tc_error *err);

/* ---- arrays in files */

/* What another program saved: a NumPy file (one array, whose name is its path), a .safetensors file, a file
 * of PyTorch, or a folder of either. */
typedef struct tc_arrays tc_arrays;

typedef struct tc_array {
    const char *name;  /* valid, as all of this, as long as the file is open */
    const char *dtype; /* as safetensors names it: "F32", "BF16", "I64" ... */
    int ndim;
    int64_t shape[8];
    int64_t numel;                  /* the product of the shape */
    const tc_arrays *arrays;        /* where it is from */
    const struct tc_tensor *tensor; /* the library's own */
    uint64_t reserved[4];
} tc_array;

/* Known by its content, not by its name. TC_EFORMAT, TC_EUNSUPPORTED: what is wrong, and where. */
TC_API tc_status tc_arrays_open(tc_arrays **out, const char *path, tc_error *err);
TC_API void tc_arrays_close(tc_arrays **a);
/* Array i, in the order of their names. Returns false past the end. */
TC_API bool tc_arrays_at(const tc_arrays *a, size_t i, tc_array *out);
/* The array of that name. Returns false if there is none. */
TC_API bool tc_arrays_find(const tc_arrays *a, const char *name, tc_array *out);
/* Elements first .. first+n-1 in row-major order -> out [n], converted to float: exactly from F32, F16 and
 * BF16. Errors: TC_EFORMAT damaged, or a dtype that holds no numbers; TC_EARG there are not so many.
 * Thread-safe on one file. */
TC_API tc_status tc_array_read(const tc_array *x, int64_t first, int64_t n, float *out, tc_error *err);
/* The same of whole numbers. */
TC_API tc_status tc_array_read_i64(const tc_array *x, int64_t first, int64_t n, int64_t *out, tc_error *err);
/* Writes one array as a NumPy file, atomically. dtype as above; data [shape], row-major. TC_EUNSUPPORTED:
 * NumPy has no such type. */
TC_API tc_status tc_array_write(const char *path, const char *dtype, int ndim, const int64_t *shape,
                                const void *data, tc_error *err);

/* ---- many images, many texts */

/* Images through the image tower: decoded by all threads of the session, embedded a batch at a time, while
 * those that cannot be read are left out and told. */
typedef struct tc_image_pass tc_image_pass;

typedef struct tc_image_pass_options {
    const tc_data *data;      /* the images are those of data, */
    const char *const *paths; /* or of these files, [count]; both must stay until the pass is closed */
    int64_t count;
    int64_t limit;                   /* only so many of them, evenly spaced; 0: all */
    const tc_preprocess *preprocess; /* copied; NULL: the model's own */
    int batch;                       /* that are decoded and embedded at once: 64 */
    bool normalize;                  /* rows get length 1 */
    /* after each batch: images done, those left out included, of all; or NULL */
    void (*on_progress)(void *user, int64_t done, int64_t all);
    /* for each image that cannot be read, which is then left out; NULL: the first one is an error */
    void (*on_bad)(void *user, int64_t index, const tc_error *error);
    void *user;
    uint64_t reserved[8];
} tc_image_pass_options;
TC_API tc_image_pass_options tc_image_pass_options_default(void);
/* The callbacks are called by the thread that calls tc_image_pass_next. s must outlive the pass. */
TC_API tc_status tc_image_pass_open(tc_image_pass **out, tc_session *s, const tc_image_pass_options *options,
                                    tc_error *err);
/* The next *n embeddings: *embeds [*n,E], of the images (*index)[*n], which are numbers of samples or paths,
 * rising from call to call. Valid until the next call. *n is 0 at the end, and only there. */
TC_API tc_status tc_image_pass_next(tc_image_pass *p, int *n, const int64_t **index, const float **embeds,
                                    tc_error *err);
/* How many images the pass looks at, and how many it has left out so far. */
TC_API int64_t tc_image_pass_count(const tc_image_pass *p);
TC_API int64_t tc_image_pass_skipped(const tc_image_pass *p);
TC_API void tc_image_pass_close(tc_image_pass **p);

typedef struct tc_text_options {
    int batch;      /* texts that are embedded at once: 256 */
    bool normalize; /* rows get length 1 */
    /* after each batch: texts done of all; or NULL */
    void (*on_progress)(void *user, int64_t done, int64_t all);
    /* for each text that is longer than the model's context and is cut: so many ids did not fit; or NULL */
    void (*on_cut)(void *user, int64_t index, int dropped);
    void *user;
    uint64_t reserved[8];
} tc_text_options;
TC_API tc_text_options tc_text_options_default(void);
/* n texts -> embeds [n,E]. options NULL: the usual ones. */
TC_API tc_status tc_embed_texts(tc_session *s, const tc_tokenizer *t, const char *const *texts, int64_t n,
                                const tc_text_options *options, float *embeds, tc_error *err);

/* ---- settings */

/* The numbers, flags and texts among the options of training and compression, as data: their defaults and
 * checks, the program's options and its manual, and the keys of a recipe are made of it. */
typedef enum tc_setting_kind {
    TC_SETTING_FLAG,   /* bool */
    TC_SETTING_INT,    /* int */
    TC_SETTING_WHOLE,  /* int64_t, or uint64_t */
    TC_SETTING_REAL,   /* double */
    TC_SETTING_PART,   /* double; as text "50%" too */
    TC_SETTING_PARAMS, /* int64_t; as text "20M" too */
    TC_SETTING_MACS,   /* double; as text "2G" too */
    TC_SETTING_TEXT    /* const char *; NULL: none */
} tc_setting_kind;

/* tc_setting.flags */
enum {
    TC_SETTING_RESUMED = 1,    /* must be the same on resuming */
    TC_SETTING_TEACHER = 2,    /* says something in runs with a teacher only */
    TC_SETTING_CALL = 4,       /* belongs to one call, not to the run */
    TC_SETTING_IN_STAGE = 8,   /* its key stands in a stage of a recipe, not in "train" */
    TC_SETTING_IN_RECIPE = 16, /* its key stands in the recipe itself */
    TC_SETTING_FILE = 32,      /* a text that names a file */
    TC_SETTING_FOLDER = 64     /* a text that names a folder, which is made if it is not there */
};

typedef struct tc_setting {
    const char *name;   /* of the field */
    const char *key;    /* in a recipe; NULL: none */
    const char *option; /* of the program; NULL: none */
    const char *value;  /* what stands for a value of it: "N" */
    const char *help;
    tc_setting_kind kind;
    unsigned flags;
    size_t at;          /* of the field in the structure */
    double fallback;    /* the default; if it is not in the range, it says that the run chooses */
    double least, most; /* the range of a number */
    bool above, below;  /* least, most do not belong to it */
} tc_setting;

/* Setting i of tc_train_options, tc_mask_options and tc_compress_options; NULL past the end. */
TC_API const tc_setting *tc_train_setting(size_t i);
TC_API const tc_setting *tc_mask_setting(size_t i);
TC_API const tc_setting *tc_compress_setting(size_t i);
/* The field of `options` from a text ("true" or "false" of a flag). TC_EARG: "'0' is not a whole number from
 * 1 to 8". A text is not copied. */
TC_API tc_status tc_setting_read(const tc_setting *s, void *options, const char *text, tc_error *err);
/* The field as a text that tc_setting_read takes, cut at the buffer's size; "" of a text that is NULL. */
TC_API const char *tc_setting_write(const tc_setting *s, const void *options, char *buffer, size_t size);

/* ---- training */

/* Automatic weight inheritance (TinyCLIP section 3.2): masks over the width of each tower, the heads and FFN
 * channels of each block, of a ResNet the channels within its blocks, are learnt together with the weights;
 * then they are folded into the weights, and training goes on with the smaller model that is left. One of
 * keep, params and macs is given, and counts both towers together. */
typedef struct tc_mask_options {
    /* part of init's prunable parameters (tc_model_info) that is left, above 0 and at most 1; 0: see params,
     * macs */
    double keep;
    int64_t params; /* instead: all parameters without the token table; 0 */
    double macs;    /* instead: nominal multiply-accumulates of one image and one full-length text; 0 */
    /* masks are learnt in the steps before this one, then folded; 0: half of all steps */
    int64_t fold_step;
    /* steps over which the target goes from the whole model to the goal; -1: a third of fold_step */
    double target_warmup;
    /* at which gates descend and multipliers ascend: 0.02; a gate needs some 5 / lr steps to close */
    double lr;
    double start; /* of the gates' log alpha and of the multipliers: 10 */
    uint64_t reserved[8];
} tc_mask_options;
TC_API tc_mask_options tc_mask_options_default(void);

typedef struct tc_train_options {
    const char *out;         /* folder for the model, checkpoints and log.jsonl */
    const tc_model *init;    /* where the student starts */
    const tc_model *teacher; /* affinity mimicking from this model; NULL: contrastive loss */
    const tc_data *data;
    /* for figures during training: zero-shot accuracy if labelled, else retrieval; or NULL */
    const tc_data *eval_data;
    const tc_tokenizer *tokenizer;
    tc_preprocess preprocess;
    int64_t steps; /* in all; 0: from epochs */
    double epochs;
    int batch;
    double lr;
    double warmup_steps; /* -1: a tenth of the steps, at most 2,000; with masks until the fold */
    double weight_decay, beta1;
    double beta2; /* -1: by the image tower */
    double eps;   /* 0: by the image tower */
    double clip;
    double alpha;          /* weight of the affinity loss; 1 - alpha goes to the contrastive loss */
    double logit_scale;    /* fixed scale of both models; 0: learnt; -1: 50, without a teacher learnt */
    double crop_scale_min; /* random resized crop: smallest area kept, 1: none */
    bool flip;             /* random horizontal flip */
    /* so many augmentations (crop, flip, template) of each sample, one an epoch, then the first again; 0: a
     * new one in every epoch */
    int cache_augmentations;
    /* folder in which the teacher's features are kept; cache_augmentations must be set. NULL: none */
    const char *teacher_cache;
    uint64_t seed;
    int workers;              /* decoding threads; 0: chosen */
    int64_t checkpoint_every; /* steps; 0: only at the end and on a signal */
    int64_t eval_every;       /* steps; 0: only at the end */
    int64_t eval_limit;       /* samples; 0: all */
    int64_t stop_after; /* stop after this many steps of this call, with a checkpoint; 0: run to the end */
    bool resume;
    const tc_mask_options *masks; /* learn masks and fold them; NULL: none */
    /* JSON object whose members are added to the model card, in the place of those of the same name; NULL:
     * none */
    const char *card;
    /* called after each step; or NULL */
    void (*on_step)(void *user, int64_t step, int64_t steps, double seconds_left);
    void *on_step_user;
    tc_log_fn log;
    void *log_user;
    /* set to non-zero (by a signal handler) to finish the step, save and return; or NULL */
    volatile int *stop;
    /* [restart_count] words that start the run again from anywhere, for tc_run_restart; or NULL */
    const char *const *restart;
    int64_t restart_count;
    uint64_t reserved[14];
} tc_train_options;
/* The published recipe: AdamW, lr 1e-4, betas 0.9/0.98, eps 1e-6 (of a ResNet 0.9/0.999 and 1e-8), weight
 * decay 0.2, clip 5, logit scale 50 with a teacher, alpha 1. */
TC_API tc_train_options tc_train_options_default(void);

typedef struct tc_train_result {
    int64_t steps, skipped_samples, skipped_steps;
    double final_loss, seconds, pairs_per_second;
    double top1; /* of eval_data, or -1 if there are none or they are pairs */
    uint64_t reserved[8];
} tc_train_result;

/* Trains and writes OUT/model (a Hugging Face folder; of a pruned model or a ResNet OUT/model.safetensors,
 * the project's single file), OUT/checkpoint-*, OUT/log.jsonl and, at the start, OUT/run.json: the settings
 * with what was chosen for those left open, models, data and `restart`. *out and result may be NULL; *out
 * gets the trained model. The counts of the result are those of the whole run, resumed or not; times are of
 * this call.
 *
 * With teacher_cache the teacher computes a sample's augmentation once: its features go into the file
 * TEACHER_CACHE/teacher.cache and are taken from there by later epochs and later runs; weights of the teacher
 * that are not needed are not loaded. The result is the same, bit for bit, whatever the file held (with a
 * ResNet as teacher: if it was filled with this batch size and number of threads). It belongs to this
 * teacher, data, tokenizer, preprocessing and augmentation; if any of them differs, or another run is using
 * the file, the run is refused (TC_EARG, TC_ESTATE) before anything is computed. A file takes samples x
 * augmentations x (8 E + 8) bytes.
 *
 * With masks the learning rate warms up until the fold (unless warmup_steps is given), an evaluation before
 * the fold is that of the student folded with the masks as they are, and what the fold leaves meets the goal
 * as nearly as one channel allows. A goal that cannot be met is TC_EARG before anything is computed or
 * written: more than init has, or less than it would have with one head and one channel everywhere.
 *
 * log.jsonl has a JSON object a line. For each step: "step" (from 1), "epoch", "loss", "lr", "grad_norm",
 * "logit_scale" (that the loss was computed with), "pairs", "skipped": true (only if nothing was learnt from
 * the step; then loss and grad_norm may be null) and "pairs_per_second"; while there are masks also
 * "sparsity" (1 - what is expected to be left / the whole, of what the goal counts), "target_sparsity",
 * "lagrangian" (not in "loss") and "lambda" (the two multipliers of the image tower, then of the text tower).
 * After the fold: "step", "fold": true, "kept" (the part of the start's prunable parameters), "params" and
 * "params_without_tokens". For each evaluation: "step" and, of labelled data, "top1", "top5" and "images", of
 * pairs "retrieval": {"pairs", "image_to_text", "text_to_image"} with "r1", "r5", "r10" (fractions),
 * "mean_rank" and "median_rank" each way. */
TC_API tc_status tc_train(const tc_train_options *options, tc_model **out, tc_train_result *result,
                          tc_error *err);
/* The words `restart` of the run in a folder, by tc_train or tc_compress: *words [*count], freed as one block
 * with free(). TC_EIO: no OUT/run.json; TC_EFORMAT: it breaks its rules; TC_ESTATE: it has no such words. */
TC_API tc_status tc_run_restart(const char *dir, char ***words, int *count, tc_error *err);

/* ---- compression in stages */

typedef struct tc_compress_options {
    const char *out;         /* folder for everything: see tc_compress */
    const char *recipe;      /* path of a recipe, JSON: what stands in one is told in the manual page */
    const tc_model *teacher; /* what the first stage starts from, and of whose affinities all stages learn */
    const tc_data *data;
    /* what teacher and stages are measured on: accuracy if it is labelled, retrieval if it is pairs; or NULL
     */
    const tc_data *eval_data;
    const tc_tokenizer *tokenizer;
    tc_preprocess preprocess;
    /* another goal for the last stage, which must be automatic: part of the teacher's prunable parameters; 0
     */
    double keep;
    int64_t params; /* or: all parameters without the token table; 0 */
    double macs;    /* or: nominal multiply-accumulates of one image and one full-length text; 0 */
    uint64_t seed;
    int workers; /* decoding threads; 0: chosen */
    /* steps between evaluations within a stage, of labelled eval_data; 0: only at its end */
    int64_t eval_every;
    int64_t eval_limit; /* samples of an evaluation; 0: all */
    /* the teacher and all stages are measured in turn when the last stage is done, each tower of each for so
     * long; 0: not */
    double speed_seconds;
    /* stop after this many steps of this call, with a checkpoint; 0: run to the end */
    int64_t stop_after;
    bool resume; /* go on with the compression that is in `out` */
    /* folder of the teacher's features, of a recipe that has cache_augmentations; NULL: OUT/teacher-cache */
    const char *teacher_cache;
    const char *const *command; /* [command_count] what is noted as the command; or NULL */
    int command_count;
    tc_log_fn log;
    void *log_user;
    volatile int *stop; /* as in tc_train_options; or NULL */
    /* Called after each step with the seconds that all stages still need, as the steps before took them; or
     * NULL. Lines of progress then leave them to the caller. */
    void (*on_step)(void *user, double seconds_left);
    void *on_step_user;
    const char *const *restart; /* [restart_count] likewise */
    int64_t restart_count;
    uint64_t reserved[12];
} tc_compress_options;
TC_API tc_compress_options tc_compress_options_default(void);

typedef struct tc_compress_result {
    int stages, stages_done; /* all, and those that are complete */
    int64_t steps;           /* made in this call */
    double seconds;          /* of this call */
    bool finished;           /* OUT/model is there */
    uint64_t reserved[8];
} tc_compress_result;

/* Runs the stages of a recipe, each from the result of the one before it. OUT gets compress.json (recipe,
 * teacher, stages and what was measured of them, rewritten as the run goes on), a folder stage-1, stage-2 ...
 * as tc_train leaves it for each stage, and at the end the last stage's model as OUT/model or
 * OUT/model.safetensors. Recipe, data, models and folder are checked before anything is computed or written.
 * A run that was stopped or killed, wherever that was, is gone on with by `resume`, to the same model bit for
 * bit; with another recipe, teacher, data or seed that is an error (TC_EARG) that names the difference.
 * result may be NULL. */
TC_API tc_status tc_compress(const tc_compress_options *options, tc_compress_result *result, tc_error *err);

/* What a stage is expected to be. */
typedef struct tc_planned_stage {
    char name[104];
    bool automatic;
    int64_t steps, fold_step; /* fold_step 0: a manual stage */
    int batch;
    /* The model that it leaves. Of an automatic stage, whose masks decide what it will be, one that keeps the
     * same part of heads and channels in every block, and the whole width as long as the goal allows it. */
    int64_t params, params_without_tokens, params_prunable;
    double macs_image, macs_text;
    double keep;                 /* its prunable parameters over the teacher's */
    char vision[160], text[160]; /* "12 blocks, width 768, 6 heads, 1536 FFN channels" */
    size_t memory, memory_most;  /* bytes: with captions of 12 tokens, and of full length */
    double seconds;              /* of its steps, at the measured speed; 0: not measured */
    uint64_t reserved[8];
} tc_planned_stage;
typedef struct tc_compress_plan {
    char name[104]; /* of the recipe */
    int64_t teacher_params, teacher_params_without_tokens, teacher_params_prunable;
    double teacher_macs_image, teacher_macs_text;
    int count;
    tc_planned_stage stages[16];
    double seconds; /* of all */
    uint64_t reserved[8];
} tc_compress_plan;
/* What tc_compress would do; makes all of its checks but those of the folder and writes nothing. `measure`:
 * makes a few training steps of each stage, on random pictures, to tell the time. */
TC_API tc_status tc_compress_plan_make(const tc_compress_options *options, bool measure,
                                       tc_compress_plan *out, tc_error *err);

/* Speed of a model that is there already, in use: random pictures, and captions of `caption` tokens, `batch`
 * at once. */
typedef struct tc_speed {
    double images_per_second, texts_per_second;
    /* of one batch: the median, and what 90 % of them stay below */
    double image_seconds, image_seconds_p90, text_seconds, text_seconds_p90;
    /* multiply-accumulates a second that the processor reaches in registers on all threads, at the kernel set
     * in use, measured beside it: a machine's clock wanders */
    double peak;
    uint64_t reserved[4];
} tc_speed;
/* Measures each tower for `seconds` after a warm-up. A caption longer than the context is taken as long as
 * that. */
TC_API tc_status tc_measure_speed(const tc_model *m, int batch, int caption, double seconds, tc_speed *out,
                                  tc_error *err);

typedef struct tc_step_times {
    double plain;   /* contrastive loss, no teacher */
    double distill; /* affinity mimicking, the teacher computes its features */
    double cached;  /* affinity mimicking, they come from a file, as with tc_train_options.teacher_cache */
    uint64_t reserved[4];
} tc_step_times;
/* Times of the three kinds of training step, which are made in turn after a warm-up, on random images and
 * captions of `caption` tokens (start and end included): medians of `steps` each, seconds. The student's
 * weights are copied, not changed. The file is made under $TMPDIR, or /tmp, and removed afterwards. */
TC_API tc_status tc_train_measure_kinds(const tc_model *student, const tc_model *teacher, int batch,
                                        int caption, int steps, tc_step_times *times, tc_error *err);

/* ---- evaluation */

typedef struct tc_zeroshot_result {
    int64_t images, skipped; /* looked at, and left out */
    double top1, top5;       /* fractions */
    int classes;
    int64_t *class_count, *class_correct; /* [classes]; freed by tc_zeroshot_result_free */
    /* [classes,classes] images of class (row) that were taken for class (column); NULL: over 100 classes */
    int64_t *confusion;
    uint64_t reserved[4];
} tc_zeroshot_result;
TC_API void tc_zeroshot_result_free(tc_zeroshot_result *r);

typedef struct tc_retrieval_direction {
    double r1, r5, r10;            /* fractions of the rows whose match is among the first 1, 5, 10 */
    double mean_rank, median_rank; /* 1 is best */
    uint64_t reserved[2];
} tc_retrieval_direction;
typedef struct tc_retrieval_result {
    int64_t pairs, skipped; /* looked at, and left out */
    tc_retrieval_direction image_to_text, text_to_image;
    uint64_t reserved[4];
} tc_retrieval_result;

/* The class weights of zero-shot classification: weights [classes,E], rows of length 1. A class's name is put
 * into the place of "{}" in each template; the prompts are embedded, normalised, averaged over the templates
 * and normalised again. A name with an article ("a cat") takes the place of the template's. That, and how
 * many prompts were longer than the context and were cut, is logged; log may be NULL. Without templates (0)
 * it is "a photo of a {}.". Logits of image embeddings of length 1 are then tc_logits(image_embeds, weights,
 * ...). */
TC_API tc_status tc_zeroshot_weights(tc_session *s, const tc_tokenizer *t, const char *const *names,
                                     int classes, const char *const *templates, int n_templates,
                                     tc_log_fn log, void *log_user, float *weights, tc_error *err);
/* The same for the classes and templates of labelled data. */
TC_API tc_status tc_zeroshot_data_weights(tc_session *s, const tc_tokenizer *t, const tc_data *d,
                                          tc_log_fn log, void *log_user, float *weights, tc_error *err);
/* classifier [E,C] from text embeddings [C,T,E]: each normalised, averaged over templates, normalised again.
 */
TC_API void tc_zeroshot_classifier(const float *text_embeds, int classes, int templates, int dim,
                                   float *classifier);
/* Ranks of the true matches in logits = scale * image . text^T, image and text [n,dim] taken as given; equal
 * logits in index order. rank0_* [n] may be NULL. */
TC_API tc_status tc_retrieval_ranks(const float *image, const float *text, int n, int dim, float scale,
                                    int64_t *rank0_image_to_text, int64_t *rank0_text_to_image,
                                    tc_retrieval_result *result, tc_error *err);
/* Zero-shot classification of labelled data, `limit` samples evenly spaced (0: all), with the data's
 * templates: each image gets the class whose weights have the largest cosine. Images that cannot be read are
 * left out, counted and logged; log may be NULL. The caller frees *result with tc_zeroshot_result_free.
 * TC_EARG: pairs, or a preprocessing of another image size; TC_ESTATE: no image could be read. */
TC_API tc_status tc_eval_zeroshot(const tc_model *m, const tc_data *d, const tc_tokenizer *t,
                                  const tc_preprocess *p, int64_t limit, tc_log_fn log, void *log_user,
                                  tc_zeroshot_result *result, tc_error *err);
/* Retrieval both ways among pairs: each image has one caption, and is to be found by it, and the caption by
 * the image. The same otherwise. */
TC_API tc_status tc_eval_retrieval(const tc_model *m, const tc_data *d, const tc_tokenizer *t,
                                   const tc_preprocess *p, int64_t limit, tc_log_fn log, void *log_user,
                                   tc_retrieval_result *result, tc_error *err);

/* ---- reports */

enum { TC_REPORT_EXAMPLES = 12, TC_REPORT_MOST_EXAMPLES = 60 };

typedef struct tc_report_options {
    const char *dir; /* what tc_compress left, or a folder of such folders of one teacher */
    const char *out; /* the page; NULL: DIR/report.html */
    int examples;    /* held-out images that are shown with what the models make of them */
    tc_log_fn log;
    void *log_user;
    /* all models are measured in one go, in turn, each tower of each for so long, and DIR/speed.json keeps
     * it for later reports; 0: what is noted there, or else by each compression */
    double speed_seconds;
    uint64_t reserved[7];
} tc_report_options;
TC_API tc_report_options tc_report_options_default(void);
typedef struct tc_report_result {
    int compressions;
    size_t bytes; /* of the page */
    uint64_t reserved[4];
} tc_report_result;
/* Writes one page of HTML about compressions: figures, curves, structure, examples, origin. It needs no other
 * file and runs no script; the same folder gives the same bytes. For the examples the data and the models
 * that the records name are opened; what is not there any more, or was changed, is told on the page. result
 * may be NULL. TC_EFORMAT: a record that breaks its rules; TC_EARG: no compression, or several teachers. */
TC_API tc_status tc_report_write(const tc_report_options *options, tc_report_result *result, tc_error *err);
/* The page's table of models as lines of text. The caller frees it. */
TC_API tc_status tc_report_table(const char *dir, char **text, tc_error *err);

#ifdef __cplusplus
}
#endif
#endif
