// POST /v1/audio/transcriptions and /v1/audio/translations: a recording in a form, what was said in it out.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "server/multipart.h"
#include "server/openai.h"
#include "server/service.h"
#include "server/transcript.h"

namespace tessera::server {
namespace {

constexpr double kSegmentS = 30;  // the longest sound of the training data: docs/spec/multimodal.md §10
constexpr int kMaxTokensPerSegment = 1024;

struct Form {
  std::string_view file;
  std::string filename, language, prompt, format = "json";
  float temperature = 0;
  bool stream = false;
};

Form read_form(const HttpRequest& request) {
  const auto parts = parse_form(request.header("content-type"), request.body);
  const auto value = [&](const char* name, std::string absent) {
    const FormPart* part = find_part(parts, name);
    return part != nullptr ? std::string(part->data) : std::move(absent);
  };
  const FormPart* file = find_part(parts, "file");
  if (file == nullptr) throw bad_request("file is missing; expected a part with the recording");
  Form form;
  form.file = file->data;
  form.filename = file->filename.empty() ? "file" : file->filename.substr(0, 80);
  form.language = value("language", "");
  form.prompt = value("prompt", "").substr(0, 2000);
  form.format = value("response_format", "json");
  const std::vector<std::string> formats = {"json", "text", "verbose_json", "srt", "vtt"};
  if (std::find(formats.begin(), formats.end(), form.format) == formats.end()) {
    throw bad_request(fmt::format("response_format is \"{}\", expected json, text, verbose_json, srt or vtt",
                                  form.format.substr(0, 40)));
  }
  const std::string temperature = value("temperature", "0");
  const auto [end, failed] =
      std::from_chars(temperature.data(), temperature.data() + temperature.size(), form.temperature);
  if (failed != std::errc() || end != temperature.data() + temperature.size() ||
      !(form.temperature >= 0 && form.temperature <= 2)) {
    throw bad_request("temperature is not a number from 0 to 2");
  }
  form.stream = value("stream", "false") == "true";
  return form;
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  const size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? std::string()
                                    : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

}  // namespace

void Service::transcribe(const HttpRequest& http, HttpReply& reply, bool translate) {
  try {
    Turn turn(*this);
    const std::shared_ptr<Model> loaded = model();
    const Form form = read_form(http);
    const auto bytes = std::span(reinterpret_cast<const uint8_t*>(form.file.data()), form.file.size());
    const auto segments = Media::audio_segments(bytes, form.filename, kSegmentS, options_.media.limits);

    GenerateRequest request;
    request.chat = {{"messages", Json::array()}};
    TurnBuilder message(request, "user");
    message.text(translate ? translation_prompt(form.language, form.prompt)
                           : transcription_prompt(form.language, form.prompt));
    MediaInput sound;
    sound.kind = MediaKind::kAudio;
    message.media(std::move(sound));
    message.finish();
    Prompt prompt;
    prompt.rendered = render_chat(dump(request.chat));
    request.options.sampling = loaded->info().default_sampling;
    request.options.sampling.temperature = form.temperature;
    request.options.max_tokens = kMaxTokensPerSegment;

    Transcript transcript;
    transcript.task = translate ? "translate" : "transcribe";
    transcript.language = form.language;
    if (form.stream) reply.stream(kEventStream, kSseComment);
    for (const AudioSegment& segment : segments) {
      prompt.media = {segment.media};
      const std::unique_ptr<Conversation> conversation = loaded->open(prompt);
      check_context(*conversation, *loaded);
      const Reply said = answer(std::span(&conversation, 1), request, reply, nullptr, 0, turn).front();
      if (reply.closed()) return;
      if (said.finish == FinishReason::kCancelled) throw unavailable("the server is shutting down", 2);
      transcript.segments.push_back(
          {segment.begin_s, segment.end_s, one_line(translate ? translation_part(said.text) : said.text)});
      transcript.prompt_tokens += said.usage.prompt_tokens;
      transcript.completion_tokens += said.usage.completion_tokens;
      transcript.duration_s = segment.end_s;
      if (form.stream) {
        const std::string gap = transcript.segments.size() > 1 ? " " : "";
        reply.write(
            sse({{"type", "transcript.text.delta"}, {"delta", gap + transcript.segments.back().text}}));
      }
    }
    if (form.stream) {
      reply.write(sse({{"type", "transcript.text.done"}, {"text", transcript.text()}}));
      reply.write("data: [DONE]\n\n");
      return;
    }
    auto [type, body] = format_transcript(transcript, form.format);
    reply.send({200, std::move(type), std::move(body)});
  } catch (...) {
    const ApiError error = current_error();
    reply.begun() ? static_cast<void>(reply.write(sse(openai_error_json(error))))
                  : reply.send(openai_error(error));
  }
}

}  // namespace tessera::server
