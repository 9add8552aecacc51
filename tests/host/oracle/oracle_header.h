/*
 * The part of tests/host/oracle/oracle.h for device headers: which headers a sent frame may have,
 * and whether a frame was dropped rightly.
 */
#ifndef TESTS_HOST_ORACLE_ORACLE_HEADER_H
#define TESTS_HOST_ORACLE_ORACLE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtio_net.h"

/* Panics if `to` must not send `header` in front of `frame`: all its requests must be valid and
 * negotiated. */
void oracle_header_check_sent(const struct virtio_net *to, const uint8_t *header,
                              const uint8_t *frame, uint32_t length);

/* True if the header with which `frame` came in by `from` goes with it, and with what `to` can do. */
bool oracle_header_passes(const struct virtio_net *from, const struct virtio_net *to,
                          const uint8_t *frame, uint32_t length);

/* Bytes of the largest piece that the header in front of `frame`, which `to` sends, has it cut into. */
uint32_t oracle_header_piece(const struct virtio_net *to, const uint8_t *frame, uint32_t length);

#endif
