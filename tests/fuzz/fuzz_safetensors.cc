// The safetensors container from any bytes: Error or views inside the file, nothing else.
#include <cstdint>
#include <cstdlib>

#include "format/safetensors.h"
#include "tessera/tessera.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto header = tessera::parse_safetensors({data, size}, "fuzz");
    uint64_t sum = 0;
    for (const auto& entry : header.entries) {
      const tessera::FileTensor& t = entry.tensor;
      if (t.bytes.data() < data || t.bytes.data() + t.bytes.size() > data + size) std::abort();
      if (entry.known_type &&
          t.elements() * tessera::type_bytes(t.type) != static_cast<int64_t>(t.bytes.size()))
        std::abort();
      for (const uint8_t byte : t.bytes) sum += byte;  // every byte of a view can be read
      sum += tessera::canonical_name(t.name).size();
    }
    volatile uint64_t keep = sum;
    (void)keep;
  } catch (const tessera::Error&) {
  }
  return 0;
}
