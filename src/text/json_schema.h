#pragma once
// JSON schemas → the language of their values, as JSON text or as a tool call's arguments.
//
// What is written is a subset of what is valid, chosen so that a model cannot go astray: an object's
// properties in the schema's order (in calls: in any order), no further ones unless additionalProperties says
// so (an object without properties may have any), no more items than prefixItems unless items says so,
// numbers of at most 18 digits, values without a schema nested at most 24 deep; blanks in JSON only one
// behind a colon or comma, or a line break with an indent.
#include <string>

#include "text/grammar_text.h"
#include "text/json_tree.h"

namespace tessera {

/// `name` starts the messages of errors: Error(kBadRequest) for a keyword that is not supported or malformed,
/// with its path, and for a schema that no value satisfies; kTooLarge for one that is too big.
Grammar::State schema_text(Grammar& grammar, const Json& schema, StringSyntax syntax,
                           const std::string& name);

/// schema_text, but only of objects.
Grammar::State object_text(Grammar& grammar, const Json& schema, StringSyntax syntax,
                           const std::string& name);

}  // namespace tessera
