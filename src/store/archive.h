/* archive.h - inside store/: the zip file that PyTorch writes, its members checked completely before one is
 * used.
 *
 * Format: APPNOTE.TXT of PKWARE; of it only what such files have: one disk, no encryption, members one after
 * the other from the first byte. */
#ifndef TC_ARCHIVE_H
#define TC_ARCHIVE_H

#include "store/store.h"

/* The bytes of a file: mapped, or (map NULL) in memory. `name` is for messages. */
typedef struct tc_bytes {
    const tc_map *map;
    const uint8_t *data;
    size_t size;
    const char *name;
} tc_bytes;
/* Copies bytes [offset, offset + size) without touching the mapping, so that a file that shrinks is an error
 * and no signal. */
tc_status tc_bytes_read(const tc_bytes *b, size_t offset, void *out, size_t size, tc_error *err);
/* Copies a range that the caller frees. */
tc_status tc_bytes_copy(const tc_bytes *b, size_t offset, size_t size, uint8_t **out, tc_error *err);

typedef struct tc_member {
    const char *name; /* whole, with the folder */
    size_t index;     /* in the central directory */
    size_t header;    /* offset of the local header */
    size_t start;     /* offset of the data */
    size_t packed, size;
    uint32_t crc;
    uint16_t flags, method;
} tc_member;

typedef struct tc_archive tc_archive;
/* b->map or b->data, and b->name, must outlive the archive. */
tc_status tc_archive_open(tc_archive **out, const tc_bytes *b, tc_error *err);
void tc_archive_close(tc_archive **a);
/* A member by its name without the folder; NULL if there is none. Stays until the archive is closed. */
const tc_member *tc_archive_find(const tc_archive *a, const char *name);
/* The whole content of a stored member of at most `limit` bytes, its CRC checked, NUL-terminated behind its
 * end. The caller frees *data. */
tc_status tc_archive_read(const tc_archive *a, const tc_member *m, size_t limit, char **data, size_t *size,
                          tc_error *err);
/* Error unless the member is stored as it is. */
tc_status tc_member_check_stored(const tc_bytes *b, const tc_member *m, tc_error *err);
/* Error unless the mapped bytes of a stored member have its CRC. Uses the threads of the caller. */
tc_status tc_member_check_crc(const tc_bytes *b, const tc_member *m, tc_error *err);

#endif
