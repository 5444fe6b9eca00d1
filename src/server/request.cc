#include "server/request.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/api_error.h"

namespace tessera::server {
namespace {

constexpr int kLowBudget = 70, kMediumBudget = 280, kHighBudget = 1120;
constexpr size_t kMaxStops = 16, kMaxTools = 256;
constexpr int64_t kMaxTokens = 1 << 24;
constexpr int kLowEffortTokens = 1024, kMediumEffortTokens = 8192;

const Json* nested(const Json& part, const char* key) {
  const auto found = part.find(key);
  return found == part.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

TurnBuilder::TurnBuilder(GenerateRequest& request, std::string role) : request_(request) {
  message_ = Json::object();
  message_["role"] = std::move(role);
}

void TurnBuilder::text(std::string text) {
  parts_.push_back({std::move(text), -1});
}

void TurnBuilder::media(MediaInput input) {
  parts_.push_back({{}, static_cast<int>(inputs_.size())});
  inputs_.push_back(std::move(input));
}

void TurnBuilder::finish() {
  std::stable_partition(parts_.begin(), parts_.end(), [&](const Part& part) {
    return part.media < 0 || inputs_[static_cast<size_t>(part.media)].kind != MediaKind::kAudio;
  });
  if (parts_.size() == 1 && parts_[0].media < 0) {
    message_["content"] = std::move(parts_[0].text);
  } else if (!parts_.empty()) {
    Json content = Json::array();
    for (auto& part : parts_) {
      if (part.media < 0) {
        content.push_back({{"type", "text"}, {"text", std::move(part.text)}});
        continue;
      }
      auto& input = inputs_[static_cast<size_t>(part.media)];
      content.push_back({{"type", input.kind == MediaKind::kImage   ? "image"
                                  : input.kind == MediaKind::kAudio ? "audio"
                                                                    : "video"}});
      request_.media.push_back(std::move(input));
    }
    message_["content"] = std::move(content);
  }
  request_.chat["messages"].push_back(std::move(message_));
}

void read_sampling(const Fields& fields, const ParseDefaults& defaults, GenerateOptions& options) {
  Sampling& s = options.sampling;
  s = defaults.sampling;
  const auto take = [&](const char* key, float& value, double least, double most) {
    if (const auto number = fields.number(key, least, most)) value = static_cast<float>(*number);
  };
  take("temperature", s.temperature, 0, 100);
  take("top_p", s.top_p, 0, 1);
  take("min_p", s.min_p, 0, 1);
  take("repetition_penalty", s.repetition_penalty, 0.01, 100);
  take("repeat_penalty", s.repetition_penalty, 0.01, 100);
  take("presence_penalty", s.presence_penalty, -100, 100);
  take("frequency_penalty", s.frequency_penalty, -100, 100);
  if (const auto k = fields.integer("top_k", -1, kMaxTokens))
    s.top_k = static_cast<int>(std::max<int64_t>(*k, 0));
  if (const auto seed = fields.integer("seed", -1, INT64_MAX); seed && *seed >= 0)
    s.seed = static_cast<uint64_t>(*seed);

  options.max_tokens = defaults.max_tokens;
  for (const char* key :
       {"max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict"}) {
    if (const auto most = fields.integer(key, -2, kMaxTokens)) {
      if (*most == 0) throw bad_request(fields.place(key) + " is 0: there would be no answer");
      options.max_tokens = static_cast<int>(std::max<int64_t>(*most, 0));
    }
  }
  if (const auto least = fields.integer("min_tokens", 0, kMaxTokens))
    options.min_tokens = static_cast<int>(*least);
  for (const char* key : {"stop", "stop_sequences"}) {
    for (auto& stop : fields.strings(key, kMaxStops)) {
      if (!stop.empty()) options.stop.push_back(std::move(stop));
    }
  }
  options.ignore_end_tokens = fields.flag("ignore_eos");
  if (const Json* bias = fields.object("logit_bias")) {
    for (const auto& [key, value] : bias->items()) {
      const std::string place = fields.place("logit_bias") + "." + key;
      int64_t id = -1;
      if (!key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos)
        id = std::stoll(key);
      if (id < 0) throw bad_request(place + ": the name is not a token id");
      const double amount = value.is_number() ? value.get<double>() : 1e9;
      if (!(amount >= -100 && amount <= 100)) bad_field(place, &value, "a number from -100 to 100");
      options.logit_bias.push_back({static_cast<int32_t>(id), static_cast<float>(amount)});
    }
  }
}

int detail_budget(const std::string& detail, const std::string& place) {
  if (detail.empty() || detail == "auto") return 0;
  if (detail == "low") return kLowBudget;
  if (detail == "medium") return kMediumBudget;
  if (detail == "high" || detail == "original") return kHighBudget;
  throw bad_request(
      fmt::format("{}.detail is \"{}\", expected auto, low, medium or high", place, detail.substr(0, 40)));
}

int request_budget(const Fields& fields) {
  const Json* kwargs = fields.object("mm_processor_kwargs");
  if (kwargs == nullptr) return 0;
  return static_cast<int>(Fields(*kwargs, fields.place("mm_processor_kwargs"))
                              .integer("max_soft_tokens", 1, 1 << 16)
                              .value_or(0));
}

void read_part(const Json& part, const std::string& place, TurnBuilder& turn, int default_budget) {
  if (part.is_string()) return turn.text(part.get<std::string>());
  const Fields fields(part, place);
  const std::string type = fields.need_string("type");
  if (type == "text" || type == "input_text" || type == "output_text")
    return turn.text(fields.need_string("text"));
  if (type == "refusal") return turn.text(fields.string("refusal"));
  MediaInput input;
  input.place = place;
  input.soft_token_budget = default_budget;
  if (type == "image_url" || type == "input_image" || type == "image") {
    input.kind = MediaKind::kImage;
  } else if (type == "input_audio" || type == "audio_url" || type == "audio") {
    input.kind = MediaKind::kAudio;
  } else if (type == "video_url" || type == "input_video" || type == "video") {
    input.kind = MediaKind::kVideo;
  } else {
    throw bad_request(
        fmt::format("{}.type is \"{}\", expected text, image_url, input_audio, audio_url, video_url or "
                    "input_video",
                    place, type.substr(0, 40)));
  }
  // The value is under the part's own type, {"image_url": {"url": …}} or {"image_url": "…"}, or in the part
  // itself.
  const Json* value = nullptr;
  for (const char* key : {type.c_str(), "image_url", "audio_url", "video_url", "image", "audio", "video"}) {
    if (value == nullptr) value = nested(part, key);
  }
  if (value == nullptr) value = &part;
  std::string detail = fields.string("detail");
  if (value->is_string()) {
    input.source = value->get<std::string>();
  } else {
    const Fields inner(*value, value == &part ? place : fields.place(type));
    input.source = inner.string("url");
    if (input.source.empty()) input.source = inner.string("data");
    if (input.source.empty()) throw bad_request(inner.here() + " has neither \"url\" nor \"data\"");
    if (detail.empty()) detail = inner.string("detail");
  }
  if (const int budget = detail_budget(detail, place); budget > 0) input.soft_token_budget = budget;
  if (const auto budget = fields.integer("max_soft_tokens", 1, 1 << 16))
    input.soft_token_budget = static_cast<int>(*budget);
  // A film's sound track is a medium of its own to the model.
  if (input.kind == MediaKind::kVideo && fields.flag("sound")) {
    MediaInput sound = input;
    sound.kind = MediaKind::kAudio;
    turn.media(std::move(sound));
  }
  turn.media(std::move(input));
}

void read_content(const Json* content, const std::string& place, TurnBuilder& turn, int default_budget) {
  if (content == nullptr || content->is_null()) return;
  if (content->is_string()) return turn.text(content->get<std::string>());
  if (!content->is_array()) bad_field(place, content, "a string or a list of parts");
  for (size_t i = 0; i < content->size(); ++i) {
    read_part((*content)[i], fmt::format("{}[{}]", place, i), turn, default_budget);
  }
}

void add_tool(GenerateRequest& request, const std::string& name, const std::string& description,
              const Json* parameters, const std::string& place) {
  if (name.empty() || name.size() > 128 ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
          std::string::npos) {
    throw bad_request(fmt::format("{}.name is \"{}\", expected 1 to 128 letters, digits and _ . -", place,
                                  name.substr(0, 40)));
  }
  Json& tools = request.chat["tools"];
  if (tools.is_null()) tools = Json::array();
  if (tools.size() >= kMaxTools) throw bad_request(fmt::format("{}: more than {} tools", place, kMaxTools));
  Json function = {{"name", name}};
  if (!description.empty()) function["description"] = description;
  if (parameters != nullptr) {
    if (!parameters->is_object()) bad_field(place + ".parameters", parameters, "an object");
    function["parameters"] = *parameters;
  }
  tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  request.options.format.tools.push_back({name, parameters != nullptr ? dump(*parameters) : std::string()});
}

void choose_tool(GenerateRequest& request, const std::string& choice, const std::string& name,
                 const std::string& place) {
  ReplyFormat& format = request.options.format;
  if (choice == "none") {
    format.tool_choice = ToolChoice::kNone;
    format.tools.clear();
    return;
  }
  if (choice == "auto") return;
  if (choice != "required" && choice != "any" && choice != "named") {
    throw bad_request(
        fmt::format("{} is \"{}\", expected none, auto, required or a tool", place, choice.substr(0, 40)));
  }
  const auto known = [&](const ToolDeclaration& tool) { return tool.name == name; };
  if (choice == "named" && std::none_of(format.tools.begin(), format.tools.end(), known)) {
    throw bad_request(
        fmt::format("{} names \"{}\", which is not among the tools", place, name.substr(0, 40)));
  }
  if (format.tools.empty())
    throw bad_request(fmt::format("{} is \"{}\" and there are no tools", place, choice));
  format.tool_choice = ToolChoice::kRequired;
  if (choice == "named") format.tool_name = name;
}

bool effort_thinks(const std::string& effort, const std::string& place, GenerateOptions& options) {
  if (effort == "none") return false;
  if (effort == "minimal" || effort == "low") {
    options.reasoning_budget_tokens = kLowEffortTokens;
  } else if (effort == "medium") {
    options.reasoning_budget_tokens = kMediumEffortTokens;
  } else if (effort != "high" && effort != "xhigh" && effort != "max") {
    throw bad_request(fmt::format("{} is \"{}\", expected none, minimal, low, medium or high", place,
                                  effort.substr(0, 40)));
  }
  return true;
}

void read_response_format(const Json& format, const std::string& place, GenerateOptions& options) {
  const Fields fields(format, place);
  const std::string type = fields.need_string("type");
  if (type == "text") return;
  if (type == "json_object") {
    // llama.cpp's clients put a schema here, too.
    if (const Json* schema = fields.object("schema")) {
      options.format.json_schema = dump(*schema);
    } else {
      options.format.json_object = true;
    }
    return;
  }
  if (type != "json_schema") {
    throw bad_request(fmt::format("{}.type is \"{}\", expected text, json_object or json_schema", place,
                                  type.substr(0, 40)));
  }
  const Json* holder = fields.object("json_schema");  // the Responses API has it in the format itself
  const Fields inner(holder != nullptr ? *holder : format,
                     holder != nullptr ? place + ".json_schema" : place);
  const Json* schema = inner.object("schema");
  if (schema == nullptr) throw bad_request(inner.place("schema") + " is missing");
  options.format.json_schema = dump(*schema);
}

void continue_last(GenerateRequest& request) {
  const ReplyFormat& format = request.options.format;
  if (format.json_object || !format.json_schema.empty()) {
    throw bad_request(
        "a reply that goes on from the assistant's words cannot have a JSON format: what is there already is "
        "not checked against it");
  }
  request.chat["continue_final_message"] = true;
}

void continue_prefill(GenerateRequest& request) {
  const Json& messages = request.chat["messages"];
  if (messages.empty()) return;
  const Json& last = messages.back();
  if (last["role"] == "assistant" && !last.contains("tool_calls")) continue_last(request);
}

Json tool_call_json(const std::string& id, const std::string& name, const Json* arguments,
                    const std::string& place) {
  Json object = Json::object();
  if (arguments != nullptr && arguments->is_string()) {
    const auto& text = arguments->get_ref<const std::string&>();
    if (text.find_first_not_of(" \t\r\n") != std::string::npos) {
      try {
        object = parse_json(text);
      } catch (const ApiError&) {
        object = nullptr;
      }
    }
  } else if (arguments != nullptr) {
    object = *arguments;
  }
  if (!object.is_object())
    throw bad_request(place + " must be an object, or a string that holds one as JSON");
  return {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", std::move(object)}}}};
}

}  // namespace tessera::server
