/* distil.c - a smaller model from a larger one.  distil TEACHER CONFIG DATA STEPS OUT
 *
 *   cc distil.c -o distil $(pkg-config --cflags --libs tinyclip)
 *
 * The student of that configuration begins with the leading part of each of the teacher's weights and learns
 * from its affinities on DATA (see tc_data_open). OUT gets the student, checkpoints and log.jsonl. */
#include <stdio.h>
#include <stdlib.h>
#include <tinyclip.h>

static int fail(const char *why) {
    fprintf(stderr, "distil: %s\n", why);
    return 1;
}

static void tell(void *user, int level, const char *line) {
    (void)user, (void)level;
    fprintf(stderr, "distil: %s\n", line);
}

int main(int argc, char **argv) {
    if (argc != 6) return fail("usage: distil TEACHER CONFIG DATA STEPS OUT");
    tc_error err;
    tc_model *teacher = NULL, *start = NULL, *student = NULL;
    tc_tokenizer *tokenizer = NULL;
    tc_data *data = NULL;
    if (tc_model_open(&teacher, argv[1], NULL, &err) != TC_OK ||
        tc_model_inherit(&start, teacher, argv[2], &err) != TC_OK ||
        tc_model_tokenizer(teacher, &tokenizer, &err) != TC_OK ||
        tc_data_open(&data, argv[3], NULL, &err) != TC_OK)
        return fail(err.message);

    tc_train_options o = tc_train_options_default();
    tc_train_result result;
    o.init = start;
    o.teacher = teacher;
    o.tokenizer = tokenizer;
    o.preprocess = tc_model_preprocess(teacher);
    o.data = data;
    o.steps = atoll(argv[4]);
    o.batch = 32;
    o.lr = 1e-3;
    o.out = argv[5];
    o.log = tell;
    if (tc_train(&o, &student, &result, &err) != TC_OK) return fail(err.message);
    printf("%lld steps, loss %.4f; %lld parameters of the teacher's %lld\n", (long long)result.steps,
           result.final_loss, (long long)tc_model_get_info(student)->params,
           (long long)tc_model_get_info(teacher)->params);

    tc_data_close(&data);
    tc_tokenizer_close(&tokenizer);
    tc_model_close(&student);
    tc_model_close(&start);
    tc_model_close(&teacher);
    return 0;
}
