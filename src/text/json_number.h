#pragma once
// Numbers of JSON within bounds, as languages.
#include <optional>

#include "text/grammar.h"

namespace tessera {

struct NumberBound {
  double value = 0;
  bool exclusive = false;
};

/// Whole numbers, at most 18 digits, no exponent, no -0. kNothing when none is within.
Grammar::State integer_text(Grammar& grammar, std::optional<NumberBound> least,
                            std::optional<NumberBound> most);
/// At most 18 digits before and 17 behind the point; an exponent of up to two digits when there are no
/// bounds.
Grammar::State number_text(Grammar& grammar, std::optional<NumberBound> least,
                           std::optional<NumberBound> most);

}  // namespace tessera
