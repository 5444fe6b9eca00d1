#pragma once
// The tile unit of newer Intel processors (AMX).

namespace tessera::cpu {

/// Whether this CPU multiplies tiles of bytes and of bfloat16 and the system lets this process use them,
/// which is asked for at the first call. Any thread.
bool amx_allowed();

}  // namespace tessera::cpu
