/* SPDX-License-Identifier: MIT */
/*
 * dial.c - what bytes may do to the decoder of the dialer's channel.
 *
 * What is decoded encodes to the same bytes.
 */
#include "common/dial.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dial_message m;
	uint8_t again[DIAL_SIZE_MAX];

	if (dial_decode(data, size, &m) < 0)
		return 0;
	assert(m.n_addresses <= DIAL_ADDRESSES_MAX && m.n_options <= DIAL_OPTIONS_MAX);
	assert(m.name[m.name_size] == '\0');
	assert(dial_encode(&m, again, sizeof(again)) == (long)size);
	assert(memcmp(again, data, size) == 0);
	return 0;
}
