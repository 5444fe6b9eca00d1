#include "text/chat.h"

#include <algorithm>

#include "base/error.h"
#include "text/chat_tools.h"
#include "text/python_text.h"

namespace tessera {

namespace {

constexpr std::string_view kThoughtOpen = "<|channel>thought\n";
constexpr std::string_view kChannelOpen = "<|channel>", kChannelClose = "<channel|>";
constexpr std::string_view kTurnEnd = "<turn|>\n";

// Thought channels inside an answer are dropped: of each part before a close, what precedes the first open is
// kept.
std::string without_thinking(std::string_view text) {
  std::string kept;
  for (bool more = true; more;) {
    const size_t close = text.find(kChannelClose);
    more = close != std::string_view::npos;
    const std::string_view part = text.substr(0, close);
    kept += part.substr(0, part.find(kChannelOpen));
    if (more) text.remove_prefix(close + kChannelClose.size());
  }
  return kept;
}

// Empty for a type that is no medium.
std::string_view placeholder(std::string_view type) {
  if (type == "image" || type == "image_url" || type == "input_image") return "<|image|>";
  if (type == "audio" || type == "input_audio" || type == "audio_url") return "<|audio|>";
  if (type == "video" || type == "video_url" || type == "input_video") return "<|video|>";
  return {};
}

class Renderer {
 public:
  explicit Renderer(const Json& request) : request_(request) {
    if (!request.is_object()) bad_value("the request", &request, "an object with \"messages\"");
    messages_ = find_value(request, "messages");
    if (messages_ == nullptr || !messages_->is_array())
      bad_value("messages", messages_, "a list of messages");
    tools_ = find_value(request, "tools");
    if (tools_ != nullptr && !tools_->is_array()) bad_value("tools", tools_, "a list of tools");
    thinking_ = flag("enable_thinking", false);
    preserve_thinking_ = flag("preserve_thinking", false);
    roles_.reserve(messages_->size());
    for (size_t i = 0; i < messages_->size(); ++i) roles_.push_back(checked_role(i));
    continued_ = flag("continue_final_message", false);
    if (continued_) check_continued();
  }

  std::string render() {
    out_ = "<bos>";
    const bool system = !roles_.empty() && (roles_[0] == "system" || roles_[0] == "developer");
    if (thinking_ || system || is_truthy(tools_)) render_system_turn(system);
    const size_t first = system ? 1 : 0;
    for (size_t i = first; i < roles_.size(); ++i) {
      if (roles_[i] == "user") last_user_ = i, any_user_ = true;
    }
    for (size_t i = first; i < roles_.size(); ++i) {
      if (roles_[i] == "tool") continue;  // folded into the assistant message before it
      render_message(i);
      previous_role_ = roles_[i];
    }
    if (!continued_ && flag("add_generation_prompt", true)) render_generation_prompt();
    return std::move(out_);
  }

 private:
  enum class Kind { kMessage, kCall, kResponse };

  bool flag(const char* key, bool absent) const {
    const Json* value = find_value(request_, key);
    if (value == nullptr) return absent;
    if (!value->is_boolean()) bad_value(key, value, "true or false");
    return value->get<bool>();
  }
  std::string place(size_t i, std::string_view key) const {
    return fmt::format("messages[{}]{}{}", i, key.empty() ? "" : ".", key);
  }
  const Json& message(size_t i) const { return (*messages_)[i]; }
  const Json* field(size_t i, std::string_view key) const { return find_value(message(i), key); }

  std::string_view checked_role(size_t i) const {
    if (!message(i).is_object())
      bad_value(place(i, ""), &message(i), "an object with \"role\" and \"content\"");
    const std::string& role = string_value(field(i, "role"), place(i, "role"));
    for (const std::string_view known : {"system", "developer", "user", "assistant", "tool"}) {
      if (role == known) return role;
    }
    throw_error(ErrorKind::kBadRequest, "{} is \"{}\", expected system, developer, user, assistant or tool",
                place(i, "role"), role.substr(0, 40));
  }

  void check_continued() const {
    if (roles_.empty() || roles_.back() != "assistant") {
      throw_error(ErrorKind::kBadRequest,
                  "continue_final_message: the last message is {}, expected the assistant's",
                  roles_.empty() ? "missing" : fmt::format("of role \"{}\"", roles_.back()));
    }
    for (const char* key : {"tool_calls", "tool_responses"}) {
      if (list_field(roles_.size() - 1, key) != nullptr) {
        throw_error(ErrorKind::kBadRequest, "{}: a message with calls cannot be continued",
                    place(roles_.size() - 1, key));
      }
    }
    if (find_value(request_, "add_generation_prompt") != nullptr && flag("add_generation_prompt", true)) {
      throw_error(ErrorKind::kBadRequest,
                  "continue_final_message and add_generation_prompt are both true: a reply is continued or "
                  "begun");
    }
  }

  void render_system_turn(bool has_message) {
    out_ += "<|turn>system\n";
    if (thinking_) out_ += "<|think|>\n";
    if (has_message) render_system_content();
    for (size_t i = 0; tools_ != nullptr && i < tools_->size(); ++i) {
      out_ += "<|tool>";
      append_declaration(out_, (*tools_)[i], fmt::format("tools[{}]", i));
      out_ += "<tool|>";
    }
    out_ += kTurnEnd;
  }

  void render_system_content() {
    const Json* content = field(0, "content");
    if (content == nullptr) return;
    if (content->is_string()) {
      out_ += python_strip(content->get_ref<const std::string&>());
      return;
    }
    if (!content->is_array()) bad_value(place(0, "content"), content, "a string or a list of text parts");
    for (size_t k = 0; k < content->size(); ++k) {
      const std::string here = fmt::format("messages[0].content[{}]", k);
      const Json* type = find_value((*content)[k], "type");
      if (type != nullptr && *type != "text") {
        throw_error(ErrorKind::kBadRequest, "{}: a system message takes text parts only", here);
      }
      out_ += python_strip(string_value(find_value((*content)[k], "text"), here + ".text"));
      out_ += ' ';
    }
  }

  void render_message(size_t i) {
    const bool model = roles_[i] == "assistant";
    if (!model || previous_role_ != "assistant") {
      out_.append("<|turn>").append(model ? "model" : roles_[i]).append("\n");
    }
    if (continued_ && i + 1 == roles_.size()) return render_continued(i);
    render_reasoning(i);
    kind_ = Kind::kMessage;
    const Json* calls = list_field(i, "tool_calls");
    if (calls != nullptr) render_calls(i, *calls);
    bool responded = false;
    if (const Json* responses = list_field(i, "tool_responses")) {
      render_responses(i, *responses);
      responded = true;
    } else if (calls != nullptr) {
      responded = render_following_results(i, *calls);
    }
    if (responded) kind_ = Kind::kResponse;
    const std::string text = content_text(i);
    out_ += text;

    size_t next = i + 1;
    while (next < roles_.size() && roles_[next] == "tool") ++next;
    const bool last = next == roles_.size();
    const bool blank = python_strip(text).empty();
    if (kind_ == Kind::kCall) {
      out_ += "<|tool_response>";
    } else if (model && !last && roles_[next] == "assistant" && (calls == nullptr || responded)) {
      // the next message continues this turn
    } else if (!(responded && blank && last)) {
      out_ += kTurnEnd;
    }
  }

  // The open end of a reply: what the generation prompt and the reply so far would be, to the letter. The
  // template has no such thing; its own render of the message, cut before <turn|>, would lack the empty
  // thought that every reply without thinking begins with, and the text would be stripped.
  void render_continued(size_t i) {
    const size_t begin = out_.size();
    render_reasoning(i);
    const std::string text = content_text(i);
    const bool thought = out_.size() > begin;
    if (thought && text.empty()) {
      out_.resize(out_.size() - kChannelClose.size() - 1);  // and the line end before it
    } else if (!thought && !thinking_ && previous_role_ != "assistant") {
      out_.append(kThoughtOpen).append(kChannelClose);
    }
    out_ += text;
  }

  // Thoughts stay only after the last user message, or with preserve_thinking beside tool calls.
  void render_reasoning(size_t i) {
    const char* key = is_truthy(field(i, "reasoning")) ? "reasoning" : "reasoning_content";
    const Json* thought = field(i, key);
    if (!is_truthy(thought)) return;
    const std::string& text = string_value(thought, place(i, key));
    const bool current = !any_user_ || i > last_user_;
    if (!current && !(preserve_thinking_ && list_field(i, "tool_calls") != nullptr)) return;
    out_.append(kThoughtOpen).append(text).append("\n").append(kChannelClose);
  }

  // Null when absent or empty.
  const Json* list_field(size_t i, const char* key) const {
    const Json* list = field(i, key);
    if (list != nullptr && !list->is_array()) bad_value(place(i, key), list, "a list");
    return list == nullptr || list->empty() ? nullptr : list;
  }

  static const std::string& function_name(const Json& call, const std::string& where) {
    const Json* function = find_value(call, "function");
    if (function == nullptr || !function->is_object()) bad_value(where + ".function", function, "an object");
    return string_value(find_value(*function, "name"), where + ".function.name");
  }

  void render_calls(size_t i, const Json& calls) {
    for (size_t k = 0; k < calls.size(); ++k) {
      const std::string here = fmt::format("messages[{}].tool_calls[{}]", i, k);
      const std::string& name = function_name(calls[k], here);
      const Json& function = *find_value(calls[k], "function");
      const Json* arguments = find_value(function, "arguments");
      const bool empty = arguments == nullptr && function.contains("arguments");
      if (!empty && (arguments == nullptr || !arguments->is_object())) {
        bad_value(here + ".function.arguments", arguments, "an object (a JSON string must be parsed first)");
      }
      append_call(out_, name, arguments);
    }
    kind_ = Kind::kCall;
  }

  void render_responses(size_t i, const Json& responses) {
    for (size_t k = 0; k < responses.size(); ++k) {
      const std::string here = fmt::format("messages[{}].tool_responses[{}]", i, k);
      if (!responses[k].is_object() || !responses[k].contains("response")) {
        bad_value(here + ".response", nullptr, "the tool's result");
      }
      const Json* name = find_value(responses[k], "name");
      append_response(out_, is_truthy(name) ? string_value(name, here + ".name") : "unknown",
                      responses[k].at("response"));
    }
  }

  // The tool messages right after message i. Returns whether there are any.
  bool render_following_results(size_t i, const Json& calls) {
    size_t k = i + 1;
    for (; k < roles_.size() && roles_[k] == "tool"; ++k) {
      const Json* id = field(k, "tool_call_id");
      const Json* name_field = field(k, "name");
      std::string_view name =
          is_truthy(name_field) ? std::string_view(string_value(name_field, place(k, "name"))) : "unknown";
      for (size_t c = 0; c < calls.size(); ++c) {
        const Json* call_id = find_value(calls[c], "id");
        const bool same = id == nullptr || call_id == nullptr ? id == call_id : *id == *call_id;
        if (same) name = function_name(calls[c], fmt::format("messages[{}].tool_calls[{}]", i, c));
      }
      render_result(k, name);
    }
    return k > i + 1;
  }

  void render_result(size_t k, std::string_view name) {
    const Json* content = field(k, "content");
    if (content == nullptr || !content->is_array()) {
      append_response(out_, name, content == nullptr ? Json() : *content);
      return;
    }
    std::string text, media;
    for (size_t p = 0; p < content->size(); ++p) {
      const std::string here = fmt::format("messages[{}].content[{}]", k, p);
      const std::string_view type = part_type((*content)[p], here);
      if (type == "text") {
        text += string_value(find_value((*content)[p], "text"), here + ".text");
      } else {
        media += placeholder(type);
      }
    }
    append_response(out_, name, Json(text));
    out_ += media;
  }

  static std::string_view part_type(const Json& part, const std::string& where) {
    const std::string& type = string_value(find_value(part, "type"), where + ".type");
    if (type != "text" && placeholder(type).empty()) {
      throw_error(ErrorKind::kBadRequest, "{}.type is \"{}\", expected text, image, audio or video", where,
                  type.substr(0, 40));
    }
    return type;
  }

  std::string content_text(size_t i) const {
    const Json* content = field(i, "content");
    const bool model = roles_[i] == "assistant";
    const bool whole = continued_ && i + 1 == roles_.size();  // the next token follows its last character
    const auto treat = [&](const std::string& text) {
      const std::string kept = model ? without_thinking(text) : text;
      return whole ? kept : std::string(python_strip(kept));
    };
    if (content == nullptr) return {};
    if (content->is_string()) return treat(content->get_ref<const std::string&>());
    if (!content->is_array()) bad_value(place(i, "content"), content, "a string or a list of parts");
    std::string out;
    for (size_t k = 0; k < content->size(); ++k) {
      const std::string here = fmt::format("messages[{}].content[{}]", i, k);
      const std::string_view type = part_type((*content)[k], here);
      if (type == "text") {
        out += treat(string_value(find_value((*content)[k], "text"), here + ".text"));
      } else {
        out += placeholder(type);
      }
    }
    return out;
  }

  void render_generation_prompt() {
    if (kind_ == Kind::kResponse && thinking_) {
      out_ += kThoughtOpen;
    } else if (kind_ == Kind::kMessage || std::string_view(out_).ends_with(kTurnEnd)) {
      // The second case: content after tool results closed the turn, and the template stops there, without a
      // header.
      out_ += "<|turn>model\n";
      if (!thinking_) out_.append(kThoughtOpen).append(kChannelClose);
    }
  }

  const Json& request_;
  const Json* messages_ = nullptr;
  const Json* tools_ = nullptr;
  bool thinking_ = false, preserve_thinking_ = false, continued_ = false;
  std::vector<std::string_view> roles_;
  size_t last_user_ = 0;
  bool any_user_ = false;
  std::string_view previous_role_;  // of the last message that is no tool result
  Kind kind_ = Kind::kMessage;
  std::string out_;
};

}  // namespace

std::string render_request(const Json& request) {
  return Renderer(request).render();
}

std::string render_chat(std::string_view request_json) {
  return render_request(parse_json(request_json, ErrorKind::kBadRequest, "chat request"));
}

void parse_argument_strings(Json& request) {
  if (!request.is_object() || !request.contains("messages") || !request["messages"].is_array()) return;
  for (size_t i = 0; i < request["messages"].size(); ++i) {
    Json& message = request["messages"][i];
    if (!message.is_object() || !message.contains("tool_calls") || !message["tool_calls"].is_array())
      continue;
    for (size_t k = 0; k < message["tool_calls"].size(); ++k) {
      Json& call = message["tool_calls"][k];
      if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
      if (!call["function"].contains("arguments") || !call["function"]["arguments"].is_string()) continue;
      Json& arguments = call["function"]["arguments"];
      const std::string where = fmt::format("messages[{}].tool_calls[{}].function.arguments", i, k);
      Json parsed = parse_json(arguments.get_ref<const std::string&>(), ErrorKind::kBadRequest, where);
      if (!parsed.is_object()) bad_value(where, &parsed, "the text of a JSON object");
      arguments = std::move(parsed);
    }
  }
}

bool opens_thought(std::string_view prompt) {
  return prompt.ends_with(kThoughtOpen);
}

}  // namespace tessera
