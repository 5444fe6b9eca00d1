#include "server/transcript.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "server/api_error.h"

namespace tessera::server {
namespace {

constexpr std::array<std::pair<const char*, const char*>, 40> kLanguages = {{
    {"ar", "Arabic"},    {"bg", "Bulgarian"}, {"bn", "Bengali"},    {"ca", "Catalan"},    {"cs", "Czech"},
    {"da", "Danish"},    {"de", "German"},    {"el", "Greek"},      {"en", "English"},    {"es", "Spanish"},
    {"et", "Estonian"},  {"fa", "Persian"},   {"fi", "Finnish"},    {"fr", "French"},     {"he", "Hebrew"},
    {"hi", "Hindi"},     {"hr", "Croatian"},  {"hu", "Hungarian"},  {"id", "Indonesian"}, {"it", "Italian"},
    {"ja", "Japanese"},  {"ko", "Korean"},    {"lt", "Lithuanian"}, {"lv", "Latvian"},    {"nl", "Dutch"},
    {"no", "Norwegian"}, {"pl", "Polish"},    {"pt", "Portuguese"}, {"ro", "Romanian"},   {"ru", "Russian"},
    {"sk", "Slovak"},    {"sl", "Slovenian"}, {"sv", "Swedish"},    {"ta", "Tamil"},      {"th", "Thai"},
    {"tr", "Turkish"},   {"uk", "Ukrainian"}, {"vi", "Vietnamese"}, {"zh", "Chinese"},    {"sr", "Serbian"},
}};

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// 00:01:02,345
std::string clock_time(double seconds, char point) {
  const auto ms = static_cast<int64_t>(std::llround(seconds * 1e3));
  return fmt::format("{:02}:{:02}:{:02}{}{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, point,
                     ms % 1000);
}

std::string with_hint(std::string prompt, const std::string& hint) {
  if (!hint.empty()) prompt += "\n* These words may occur: " + hint;
  return prompt;
}

}  // namespace

std::string Transcript::text() const {
  std::string all;
  for (const auto& segment : segments) {
    if (!all.empty() && !segment.text.empty()) all += ' ';
    all += segment.text;
  }
  return all;
}

std::string language_name(const std::string& code) {
  for (const auto& [known, name] : kLanguages) {
    if (code == known) return name;
  }
  const bool sane = code.size() <= 40 && std::all_of(code.begin(), code.end(), [](unsigned char c) {
                      return std::isalpha(c) || c >= 0x80 || c == '-' || c == ' ' || c == '(' || c == ')';
                    });
  if (!sane) throw bad_request("language is not an ISO code or a language's name");
  return code;
}

std::string transcription_prompt(const std::string& language, const std::string& hint) {
  const std::string head = language.empty()
                               ? "Transcribe the following speech segment in its original language."
                               : fmt::format("Transcribe the following speech segment in {0} into {0} text.",
                                             language_name(language));
  return with_hint(head +
                       "\n\nFollow these specific instructions for formatting the answer:\n"
                       "* Only output the transcription, with no newlines.\n"
                       "* When transcribing numbers, write the digits, i.e. write 1.7 and not one point "
                       "seven, and write 3 "
                       "instead of three.",
                   hint);
}

std::string translation_prompt(const std::string& language, const std::string& hint) {
  const std::string source = language.empty() ? "its original language" : language_name(language);
  return with_hint(
      fmt::format("Transcribe the following speech segment in {0}, then translate it into English.\n"
                  "When formatting the answer, first output the transcription in {0}, then one newline, then "
                  "output the string 'English: ', then the translation in English.",
                  source),
      hint);
}

std::string translation_part(std::string_view answer) {
  static constexpr std::string_view kMark = "English:";
  const size_t at = answer.rfind(kMark);
  return std::string(trim(at == std::string_view::npos ? answer : answer.substr(at + kMark.size())));
}

std::pair<std::string, std::string> format_transcript(const Transcript& t, const std::string& format) {
  const Json usage = {{"type", "tokens"},
                      {"input_tokens", t.prompt_tokens},
                      {"output_tokens", t.completion_tokens},
                      {"total_tokens", t.prompt_tokens + t.completion_tokens}};
  if (format == "json") return {"application/json", dump({{"text", t.text()}, {"usage", usage}})};
  if (format == "text") return {"text/plain; charset=utf-8", t.text() + "\n"};
  if (format == "verbose_json") {
    Json segments = Json::array();
    for (const auto& s : t.segments) {
      segments.push_back({{"id", segments.size()}, {"start", s.begin_s}, {"end", s.end_s}, {"text", s.text}});
    }
    return {"application/json", dump({{"task", t.task},
                                      {"language", t.language},
                                      {"duration", t.duration_s},
                                      {"text", t.text()},
                                      {"segments", std::move(segments)},
                                      {"usage", usage}})};
  }
  std::string out = format == "vtt" ? "WEBVTT\n\n" : "";
  int number = 0;
  for (const auto& s : t.segments) {
    if (s.text.empty()) continue;
    const char point = format == "vtt" ? '.' : ',';
    if (format == "srt") out += fmt::format("{}\n", ++number);
    out += fmt::format("{} --> {}\n{}\n\n", clock_time(s.begin_s, point), clock_time(s.end_s, point), s.text);
  }
  return {format == "vtt" ? "text/vtt; charset=utf-8" : "application/x-subrip; charset=utf-8", out};
}

}  // namespace tessera::server
