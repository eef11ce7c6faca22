/* loader.c - training batches, decoded ahead by worker threads.
 *
 * A ring of slots holds the batch that the trainer works on and the ones being filled. What goes into a batch
 * is fixed when its slot is handed out, by one thread and from (seed, epoch, position) alone; workers then
 * take single samples in any order and write each to its own place. So neither their number nor their speed
 * can change a batch. A bad sample leaves a hole, which is closed when the batch is given out. */
#include "data/data.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLOTS = 3,
    MAX_WORKERS = 64,
    CHUNK = 8,
    CAPTION_SIZE = 1 << 14,
    TOKEN_CACHE_LIMIT = 32 << 20,
    KINDS = TC_ESTATE + 1
};

/* What each use of the seed is mixed with. */
enum { USE_ORDER = 1, USE_TEMPLATE = 2, USE_AUGMENT = 3 };

typedef struct slot {
    tc_batch batch;
    uint8_t *status; /* [B] tc_status of each sample */
    int *cut;        /* [B] ids of its caption that did not fit */
    int pending;     /* samples that no worker has finished */
    int reason_at;   /* the place of the sample whose message `reason` is; the last place of all bad ones */
    char reason[sizeof((tc_error *)0)->message];
} slot;

struct tc_loader {
    tc_loader_options o;
    int64_t n;     /* samples of the source */
    size_t pixels; /* of one sample: 3*S*S */
    slot slots[SLOTS];

    /* Order: position within the epoch whose permutation is in `order`. Only the trainer's thread uses it. */
    int64_t *order, epoch, position;

    /* Under the lock. Batches [0,scheduled) have been handed out, samples [0,taken) of them are with workers.
     */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int64_t scheduled, taken;
    bool stop;

    int64_t given; /* batches that the trainer has had */
    int64_t skipped[KINDS], bad_in_a_row;
    char reason[sizeof((tc_error *)0)->message];

    int32_t *tokens; /* [classes,templates,context] of labelled data, or NULL */
    /* captions that were longer than the context, in the batches given; those of classes are counted once */
    int64_t cut;
    pthread_t threads[MAX_WORKERS];
    int nthreads;
};

/* ---- order */

static void start_epoch(tc_loader *l, int64_t epoch) {
    tc_rng r = tc_rng_make(tc_hash(l->o.seed, USE_ORDER, 0), (uint64_t)epoch, 0);
    tc_rng_permutation(&r, l->order, l->n);
    l->epoch = epoch;
}

/* Fills the next slot with sample numbers and gives it to the workers. */
static void schedule(tc_loader *l) {
    slot *s = &l->slots[l->scheduled % SLOTS];
    for (int j = 0; j < l->o.batch; j++) {
        if (l->position == l->n) {
            start_epoch(l, l->epoch + 1);
            l->position = 0;
        }
        s->batch.index[j] = l->order[l->position++];
        s->batch.augmentation[j] = l->o.augmentations ? l->epoch % l->o.augmentations : l->epoch;
    }
    s->reason_at = -1;
    s->pending = l->o.batch;
    pthread_mutex_lock(&l->lock);
    l->scheduled++;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}

/* ---- workers */

static int choose_template(const tc_loader *l, int64_t augmentation, int64_t i) {
    int templates = tc_data_templates(l->o.data);
    if (templates < 2) return 0;
    tc_rng r = tc_rng_make(tc_hash(l->o.seed, USE_TEMPLATE, 0), (uint64_t)augmentation, (uint64_t)i);
    return (int)tc_rng_below(&r, (uint64_t)templates);
}

/* Where the ids of class c in template t lie in `tokens`. */
static size_t token_place(const tc_loader *l, int c, int t) {
    return ((size_t)c * (size_t)tc_data_templates(l->o.data) + (size_t)t) * (size_t)l->o.context;
}

static tc_status make_ids(const tc_loader *l, int64_t augmentation, int64_t i, char *caption, int32_t *ids,
                          int *cut, tc_error *err) {
    int t = choose_template(l, augmentation, i);
    if (l->tokens) {
        memcpy(ids, l->tokens + token_place(l, tc_data_label(l->o.data, i), t),
               (size_t)l->o.context * sizeof *ids);
        return TC_OK;
    }
    tc_status status = tc_data_caption(l->o.data, i, t, caption, CAPTION_SIZE, err);
    return status == TC_OK ? tc_tokenizer_encode(l->o.tokenizer, caption, l->o.context, ids, NULL, cut, err)
                           : status;
}

static tc_status make_sample(const tc_loader *l, slot *s, int j, char *caption, tc_error *err) {
    int64_t i = s->batch.index[j], augmentation = s->batch.augmentation[j];
    tc_augment a = {.seed = tc_hash(tc_hash(l->o.seed, USE_AUGMENT, 0), (uint64_t)augmentation, (uint64_t)i),
                    .scale_min = l->o.crop_scale_min,
                    .flip = l->o.flip};
    tc_status status = make_ids(l, augmentation, i, caption, s->batch.ids + (size_t)j * (size_t)l->o.context,
                                &s->cut[j], err);
    if (status != TC_OK) return status;
    return tc_data_image_augmented(l->o.data, i, &l->o.preprocess, a.flip || a.scale_min < 1 ? &a : NULL,
                                   s->batch.pixel_values + (size_t)j * l->pixels, err);
}

/* Takes up to CHUNK samples of one batch; 0 if the loader stops. */
static int take_work(tc_loader *l, slot **s, int *first) {
    int n = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->stop && l->taken == l->scheduled * l->o.batch) pthread_cond_wait(&l->work, &l->lock);
    if (!l->stop) {
        *s = &l->slots[l->taken / l->o.batch % SLOTS];
        *first = (int)(l->taken % l->o.batch);
        n = l->o.batch - *first < CHUNK ? l->o.batch - *first : CHUNK;
        l->taken += n;
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* bad: error of the last bad sample among the n, at place bad_at; -1 if there is none. */
static void finish_work(tc_loader *l, slot *s, int n, int bad_at, const tc_error *bad) {
    pthread_mutex_lock(&l->lock);
    if (bad_at > s->reason_at) {
        s->reason_at = bad_at;
        memcpy(s->reason, bad->message, sizeof s->reason);
    }
    s->pending -= n;
    if (s->pending == 0) pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
}

static void *work(void *user) {
    tc_loader *l = user;
    char *caption = malloc(CAPTION_SIZE);
    slot *s;
    int first, n;
    while ((n = take_work(l, &s, &first)) > 0) {
        tc_error err, bad = {0};
        int bad_at = -1;
        for (int j = first; j < first + n; j++) {
            tc_status status =
                caption ? make_sample(l, s, j, caption, &err) : tc_fail_memory(&err, CAPTION_SIZE);
            s->status[j] = (uint8_t)status;
            if (status == TC_OK) continue;
            bad_at = j;
            bad = err;
        }
        finish_work(l, s, n, bad_at, &bad);
    }
    free(caption);
    return NULL;
}

/* ---- making and ending */

static bool make_slot(const tc_loader *l, slot *s) {
    size_t b = (size_t)l->o.batch, values;
    if (!tc_mul(b, l->pixels, &values)) return false;
    s->batch.pixel_values = tc_new_aligned(values, sizeof *s->batch.pixel_values);
    s->batch.ids = tc_new_aligned(b * (size_t)l->o.context, sizeof *s->batch.ids);
    s->batch.index = tc_new(b, sizeof *s->batch.index);
    s->batch.augmentation = tc_new(b, sizeof *s->batch.augmentation);
    s->status = tc_new(b, sizeof *s->status);
    s->cut = tc_new(b, sizeof *s->cut);
    return s->batch.pixel_values && s->batch.ids && s->batch.index && s->batch.augmentation && s->status &&
           s->cut;
}

size_t tc_loader_memory(const tc_loader_options *o) {
    size_t side = (size_t)o->preprocess.crop;
    size_t sample = 3 * side * side * sizeof(float) + (size_t)o->context * sizeof(int32_t);
    size_t all;
    return tc_mul((size_t)o->batch * SLOTS, sample, &all) ? all : SIZE_MAX;
}

/* Every caption of labelled data is encoded once, unless there are very many. */
static tc_status cache_tokens(tc_loader *l, tc_error *err) {
    size_t classes = (size_t)tc_data_classes(l->o.data);
    size_t templates = (size_t)tc_data_templates(l->o.data);
    size_t context = (size_t)l->o.context;
    size_t n;
    char caption[4096];
    if (!tc_mul(classes, templates, &n) || !tc_mul(n, context * sizeof *l->tokens, &n) || n == 0 ||
        n > TOKEN_CACHE_LIMIT)
        return TC_OK;
    int64_t i_of_class = 0, count = tc_data_count(l->o.data);
    l->tokens = tc_new(n, 1);
    bool *seen = tc_new(classes, sizeof *seen);
    tc_status status = l->tokens && seen ? TC_OK : tc_fail_memory(err, n);
    for (; status == TC_OK && i_of_class < count; i_of_class++) {
        int c = tc_data_label(l->o.data, i_of_class);
        if (seen[c]) continue;
        seen[c] = true;
        for (int t = 0; t < (int)templates && status == TC_OK; t++) {
            status = tc_data_caption(l->o.data, i_of_class, t, caption, sizeof caption, err);
            int cut = 0;
            if (status == TC_OK)
                status = tc_tokenizer_encode(l->o.tokenizer, caption, l->o.context,
                                             l->tokens + token_place(l, c, t), NULL, &cut, err);
            l->cut += cut > 0;
        }
    }
    free(seen);
    return status;
}

static int choose_workers(int wanted) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int n = online > 8 ? 8 : (int)online;
    if (wanted > 0) n = wanted;
    if (n < 1) return 1;
    return n > MAX_WORKERS ? MAX_WORKERS : n;
}

static tc_status start(tc_loader *l, tc_error *err) {
    int64_t first;
    if (__builtin_mul_overflow(l->o.first_step, (int64_t)l->o.batch, &first))
        return tc_fail(err, TC_EARG, "first step %lld is too large", (long long)l->o.first_step);
    start_epoch(l, first / l->n);
    l->position = first % l->n;
    for (int i = 0; i < SLOTS; i++)
        if (!make_slot(l, &l->slots[i]))
            return tc_fail_memory(err, (size_t)l->o.batch * l->pixels * sizeof(float));
    tc_status status = cache_tokens(l, err);
    if (status != TC_OK) return status;
    int workers = choose_workers(l->o.workers);
    while (l->nthreads < workers && pthread_create(&l->threads[l->nthreads], NULL, work, l) == 0)
        l->nthreads++;
    if (l->nthreads == 0) return tc_fail(err, TC_ENOMEM, "cannot start a thread for loading data");
    while (l->scheduled < SLOTS) schedule(l);
    return TC_OK;
}

tc_status tc_loader_create(tc_loader **out, const tc_loader_options *o, tc_error *err) {
    *out = NULL;
    if (o->batch < 1 || o->context < 1 || o->preprocess.crop < 1 || o->first_step < 0 ||
        o->augmentations < 0 || !o->data || !o->tokenizer)
        return tc_fail(err, TC_EARG, "loader: batch, context and image size must be positive");
    tc_loader *l = tc_new(1, sizeof *l);
    if (!l) return tc_fail_memory(err, sizeof *l);
    l->o = *o;
    l->n = tc_data_count(o->data);
    l->pixels = 3 * (size_t)o->preprocess.crop * (size_t)o->preprocess.crop;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    tc_status status = TC_OK;
    if (l->n < 1) status = tc_fail(err, TC_EARG, "loader: the data has no samples");
    else if (!(l->order = tc_new((size_t)l->n, sizeof *l->order)))
        status = tc_fail_memory(err, (size_t)l->n * sizeof *l->order);
    else status = start(l, err);
    if (status != TC_OK) tc_loader_close(&l);
    *out = l;
    return status;
}

void tc_loader_close(tc_loader **out) {
    tc_loader *l = *out;
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->nthreads; i++) pthread_join(l->threads[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &l->slots[i];
        free(s->batch.pixel_values);
        free(s->batch.ids);
        free(s->batch.index);
        free(s->batch.augmentation);
        free(s->status);
        free(s->cut);
    }
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    free(l->order);
    free(l->tokens);
    free(l);
    *out = NULL;
}

/* ---- giving out */

/* Closes the holes that bad samples left and counts them. */
static void close_holes(tc_loader *l, slot *s) {
    int n = 0;
    size_t context = (size_t)l->o.context;
    for (int j = 0; j < l->o.batch; j++) {
        if (s->status[j] != TC_OK) {
            l->skipped[s->status[j] < KINDS ? s->status[j] : 0]++;
            l->bad_in_a_row++;
            continue;
        }
        l->bad_in_a_row = 0;
        l->cut += s->cut[j] > 0;
        if (n != j) {
            memcpy(s->batch.pixel_values + (size_t)n * l->pixels,
                   s->batch.pixel_values + (size_t)j * l->pixels, l->pixels * sizeof(float));
            memcpy(s->batch.ids + (size_t)n * context, s->batch.ids + (size_t)j * context,
                   context * sizeof(int32_t));
            s->batch.index[n] = s->batch.index[j];
            s->batch.augmentation[n] = s->batch.augmentation[j];
        }
        n++;
    }
    s->batch.n = n;
    if (s->reason_at >= 0) memcpy(l->reason, s->reason, sizeof l->reason);
}

tc_status tc_loader_next(tc_loader *l, const tc_batch **batch, tc_error *err) {
    *batch = NULL;
    if (l->given > 0) schedule(l); /* the slot of the batch that the caller had */
    slot *s = &l->slots[l->given % SLOTS];
    pthread_mutex_lock(&l->lock);
    while (s->pending > 0) pthread_cond_wait(&l->done, &l->lock);
    pthread_mutex_unlock(&l->lock);
    l->given++;
    close_holes(l, s);
    if (l->bad_in_a_row >= l->n)
        return tc_fail(err, TC_ESTATE, "none of the %lld samples could be read; the last: %s",
                       (long long)l->n, l->reason);
    *batch = &s->batch;
    return TC_OK;
}

int64_t tc_loader_cut(const tc_loader *l) { return l->cut; }

int64_t tc_loader_skipped(const tc_loader *l, char *reason, size_t size) {
    static const struct {
        tc_status status;
        const char *text;
    } kinds[] = {{TC_EIO, "unreadable"},
                 {TC_EFORMAT, "damaged"},
                 {TC_EUNSUPPORTED, "unsupported"},
                 {TC_ENOMEM, "too large"}};
    int64_t all = 0;
    tc_buf b = {0};
    for (int k = 0; k < KINDS; k++) all += l->skipped[k];
    int64_t other = all;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int64_t n = l->skipped[kinds[k].status];
        if (n) tc_buf_printf(&b, "%s%lld %s", b.size ? ", " : "", (long long)n, kinds[k].text);
        other -= n;
    }
    if (other) tc_buf_printf(&b, "%s%lld other", b.size ? ", " : "", (long long)other);
    if (all) tc_buf_printf(&b, "; the last: %s", l->reason);
    if (reason && size) snprintf(reason, size, "%s", b.failed || !b.data ? "" : b.data);
    tc_buf_free(&b);
    return all;
}
