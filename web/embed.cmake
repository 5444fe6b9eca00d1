# tessera_embed_page(TARGET): compiles the built page (web/dist, see its manifest.txt) into TARGET, for src/server/page.h.
# Needs no Node: dist/ is committed, and tests/web checks that it is what its sources give.
function(tessera_embed_page target)
  set(dist ${PROJECT_SOURCE_DIR}/web/dist)
  set(source ${CMAKE_BINARY_DIR}/generated/page_files.cc)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${dist}/manifest.txt)
  file(STRINGS ${dist}/manifest.txt lines REGEX "^/")
  set(index 0)
  set(blobs "")
  set(externs "")
  set(rows "")
  set(files "")
  foreach(line IN LISTS lines)
    # address, file, encoding, cache, type. A type holds a semicolon, so the line is not split as a list.
    if(NOT line MATCHES "^([^\t]+)\t([^\t]+)\t([^\t]+)\t([^\t]+)\t([^\t]+)$")
      message(FATAL_ERROR "web/dist/manifest.txt: not five columns: ${line}")
    endif()
    set(address ${CMAKE_MATCH_1})
    cmake_path(ABSOLUTE_PATH CMAKE_MATCH_2 BASE_DIRECTORY ${dist} NORMALIZE OUTPUT_VARIABLE file)
    set(encoding ${CMAKE_MATCH_3})
    string(COMPARE EQUAL "${CMAKE_MATCH_4}" forever forever)
    set(type "${CMAKE_MATCH_5}")
    file(SHA256 ${file} hash)
    string(SUBSTRING ${hash} 0 16 hash)
    if(encoding STREQUAL "identity")
      set(encoding "")
    endif()
    string(APPEND blobs ".global tessera_page_${index}\\ntessera_page_${index}:\\n.incbin \\\"${file}\\\"\\n"
                        ".global tessera_page_${index}_end\\ntessera_page_${index}_end:\\n.byte 0\\n")
    string(APPEND externs "extern const char tessera_page_${index}[], tessera_page_${index}_end[];\n")
    string(APPEND rows "    {\"${address}\", \"${type}\", \"${encoding}\", \"\\\"${hash}\\\"\", ${forever}, {tessera_page_${index}, "
                       "static_cast<size_t>(tessera_page_${index}_end - tessera_page_${index})}},\n")
    list(APPEND files ${file})
    math(EXPR index "${index} + 1")
  endforeach()
  # The assembler reads the files: an array in C++ would take the compiler seconds.
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT "// Written by web/embed.cmake.
#include \"server/page.h\"

asm(\".pushsection .rodata\\n@blobs@.popsection\\n\");

extern \"C\" {
@externs@}

namespace tessera::server {
std::span<const PageFile> page_files() {
  static const PageFile files[] = {
@rows@  };
  return files;
}
}  // namespace tessera::server
")
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
  target_sources(${target} PRIVATE ${source})
endfunction()
