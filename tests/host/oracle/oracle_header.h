/*
 * What may stand in front of a frame that leaves, and whether one that did not leave had to stay: the
 * judgement of tests/host/oracle/oracle.h about device headers.
 */
#ifndef TESTS_HOST_ORACLE_ORACLE_HEADER_H
#define TESTS_HOST_ORACLE_ORACLE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtio_net.h"

/* Panics if `header` is none that `to` may send in front of `frame`: it must be such that nothing has
 * to be taken away from it or done for it any more. */
void oracle_header_check_sent(const struct virtio_net *to, const uint8_t *header,
                              const uint8_t *frame, uint32_t length);

/* True if the header with which `frame` came in by `from` goes with it, and with what `to` can do. */
bool oracle_header_passes(const struct virtio_net *from, const struct virtio_net *to,
                          const uint8_t *frame, uint32_t length);

/* Bytes of the largest piece that the header in front of `frame`, which `to` sends, has it cut into. */
uint32_t oracle_header_piece(const struct virtio_net *to, const uint8_t *frame, uint32_t length);

#endif
