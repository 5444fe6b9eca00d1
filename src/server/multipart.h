#pragma once
// multipart/form-data (RFC 7578), as file uploads are sent.
#include <string>
#include <string_view>
#include <vector>

namespace tessera::server {

struct FormPart {
  std::string name, filename;
  std::string_view data;  // into the body
};

/// `content_type`: the request's header with its boundary. Throws ApiError(400) for what is not such a form,
/// and for more than 64 parts.
std::vector<FormPart> parse_form(std::string_view content_type, std::string_view body);
/// The first part of that name; null when there is none.
const FormPart* find_part(const std::vector<FormPart>& parts, std::string_view name);

}  // namespace tessera::server
