#pragma once
// Jobs and what comes of them as bytes, between two processes of one build. Jobs come from the program
// itself; what comes back may be anything.
#include <cstdint>
#include <vector>

#include "media/decoded.h"

namespace tessera {

std::vector<uint8_t> pack_job(const DecodeJob& job);
/// The limits' process is not packed. Throws Error(kIo).
DecodeJob unpack_job(Bytes bytes);

/// To a descriptor that is open for writing, with write() alone. Throws Error(kIo).
void write_decoded(int fd, const Decoded& decoded);
void write_failure(int fd, ErrorKind kind, const std::string& message);

/// Reads what one of the two wrote, from the beginning of the file. Throws the Error that was written, and
/// Error(kBadMedia) for anything that decode_here() does not give for this job.
Decoded read_decoded(int fd, const DecodeJob& job);

/// More than a job's result can take.
int64_t most_result_bytes(const MediaLimits& limits);
/// More than decoding within these limits takes.
int64_t most_decoder_bytes(const MediaLimits& limits);

}  // namespace tessera
