# cmake -D SOURCE=folder -D OUT=commit.cc -P commit.cmake: the folder's commit as src/cli/commit.h's function.
execute_process(COMMAND git describe --always --dirty --abbrev=10 --exclude * WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#include "cli/commit.h"

const char* tessera::cli::built_from_commit() {
  return "@commit@";
}
]])
