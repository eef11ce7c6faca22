/* image_webp.c - WebP by libwebp: lossy, lossless, with alpha, and the first frame of an animation on its
 * canvas.
 *
 * The container is read by WebPDemux, which wants it complete: a RIFF size that says more than the file holds
 * is an error. */
#include "media/decode.h"

#include <webp/decode.h>
#include <webp/demux.h>

static tc_status code_error(const tc_encoded *in, VP8StatusCode code, tc_error *err) {
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return tc_fail(err, TC_ENOMEM, "%s: out of memory while decoding WebP", in->name);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return tc_fail(err, TC_EUNSUPPORTED, "%s: WebP with an unsupported feature", in->name);
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return tc_fail(err, TC_EFORMAT, "%s: the WebP data ends too early", in->name);
    default:
        return tc_fail(err, TC_EFORMAT, "%s: bad WebP data", in->name);
    }
}

/* Decodes one frame straight to its place in the image; what it does not cover stays zero. */
static tc_status decode_frame(tc_image *out, const tc_encoded *in, const WebPIterator *frame, tc_error *err) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: another version of libwebp is installed", in->name);
    VP8StatusCode code = WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &config.input);
    if (code != VP8_STATUS_OK) return code_error(in, code, err);
    int64_t right = (int64_t)frame->x_offset + config.input.width;
    int64_t bottom = (int64_t)frame->y_offset + config.input.height;
    if (frame->x_offset < 0 || frame->y_offset < 0 || right > out->width || bottom > out->height ||
        config.input.has_animation)
        return tc_fail(err, TC_EFORMAT, "%s: the WebP frame is larger than its canvas", in->name);
    size_t bytes = tc_mode_bytes(out->mode), stride = (size_t)out->width * bytes;
    size_t start = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * bytes;
    config.output.colorspace = out->mode == TC_MODE_RGBA ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out->pixels + start;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = (size_t)out->height * stride - start;
    code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    return code == VP8_STATUS_OK ? TC_OK : code_error(in, code, err);
}

static void find_orientation(tc_image *out, const WebPDemuxer *demux) {
    WebPChunkIterator chunk;
    if (WebPDemuxGetChunk(demux, "EXIF", 1, &chunk))
        out->orientation = tc_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
}

static tc_status decode(tc_image *out, const tc_encoded *in, tc_error *err) {
    WebPBitstreamFeatures features;
    VP8StatusCode code = WebPGetFeatures(in->data, in->size, &features);
    if (code != VP8_STATUS_OK) return code_error(in, code, err);
    tc_status status = tc_check_size(in, features.width, features.height, err);
    if (status != TC_OK) return status;
    WebPData data = {in->data, in->size};
    WebPDemuxer *demux = WebPDemux(&data);
    WebPIterator frame = {0};
    if (!demux || !WebPDemuxGetFrame(demux, 1, &frame) || !frame.complete) {
        status =
            tc_fail(err, TC_EFORMAT, "%s: bad WebP data: the container is damaged or incomplete", in->name);
        goto out;
    }
    status = tc_image_allocate(out, in, features.has_alpha ? TC_MODE_RGBA : TC_MODE_RGB,
                               WebPDemuxGetI(demux, WEBP_FF_CANVAS_WIDTH),
                               WebPDemuxGetI(demux, WEBP_FF_CANVAS_HEIGHT), err);
    if (status == TC_OK) status = decode_frame(out, in, &frame, err);
    if (status == TC_OK) find_orientation(out, demux);
out:
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demux);
    return status;
}

static bool accepts(const tc_encoded *in) {
    return tc_encoded_has(in, 0, "RIFF", 4) && tc_encoded_has(in, 8, "WEBP", 4);
}

const tc_image_format tc_format_webp = {accepts, decode};
