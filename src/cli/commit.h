#pragma once

namespace tessera::cli {

/// What this program was built from: "0123456789", "0123456789-dirty", or "unknown" outside of a git
/// checkout.
const char* built_from_commit();

}  // namespace tessera::cli
