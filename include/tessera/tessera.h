#pragma once
// Tessera: one engine for one model, Gemma 4 Unified. The public header: all of its parts.
//
// Two nouns: an Engine is a loaded model; a Session is one conversation on it. Media are decoded first, on
// any thread. Everything that can fail throws Error; no input ends the process. Sources cited are in
// docs/spec.
#include "tessera/engine.h"
#include "tessera/error.h"
#include "tessera/media.h"
#include "tessera/media_process.h"
#include "tessera/model.h"
#include "tessera/session.h"
#include "tessera/tools.h"
