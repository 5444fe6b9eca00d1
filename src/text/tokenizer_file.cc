#include "text/tokenizer_file.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {

namespace {

// model.vocab and model.merges are 1.3 million strings: they go straight to arenas, the rest into a tree.
class Reader : public JsonTreeBuilder {
 public:
  Reader(std::string_view text, const std::string& name, TokenizerFile& file)
      : JsonTreeBuilder(text, ErrorKind::kBadModel, name, {.max_depth = 32}), name_(name), file_(file) {}

  bool saw_vocabulary() const { return saw_vocabulary_; }
  bool saw_merges() const { return saw_merges_; }

  bool key(std::string& value) override {
    if (state_ == State::kVocabulary) {
      token_ = append(file_.arena, value);
      return true;
    }
    if (depth() == 1) in_model_ = value == "model";
    if (depth() == 2 && in_model_ && value == "vocab") next_ = State::kVocabulary;
    if (depth() == 2 && in_model_ && value == "merges") next_ = State::kMerges;
    return JsonTreeBuilder::key(value);
  }
  bool start_object(size_t elements) override {
    if (next_ == State::kVocabulary) {
      enter(saw_vocabulary_, "model.vocab");
      return true;
    }
    check_tree("an object");
    return JsonTreeBuilder::start_object(elements);
  }
  bool end_object() override {
    if (state_ == State::kVocabulary) return leave();
    return JsonTreeBuilder::end_object();
  }
  bool start_array(size_t elements) override {
    if (next_ == State::kMerges) {
      enter(saw_merges_, "model.merges");
      return true;
    }
    if (state_ == State::kMerges) {
      state_ = State::kPair;
      pair_strings_ = 0;
      merge_ = file_.merges.size() / 2;
      return true;
    }
    check_tree("an array");
    return JsonTreeBuilder::start_array(elements);
  }
  bool end_array() override {
    if (state_ == State::kMerges) return leave();
    if (state_ == State::kPair) {
      if (pair_strings_ != 2) bad_merge("a list of " + std::to_string(pair_strings_));
      state_ = State::kMerges;
      return true;
    }
    return JsonTreeBuilder::end_array();
  }
  bool string(std::string& value) override {
    if (state_ == State::kPair) {
      if (++pair_strings_ > 2) bad_merge("a list of more than two");
      add_merge_text(value);
      return true;
    }
    if (state_ == State::kMerges) {  // the older form, "left right"
      const size_t space = value.find(' ');
      if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos) {
        bad_merge("a string without exactly one space");
      }
      add_merge_text(std::string_view(value).substr(0, space));
      add_merge_text(std::string_view(value).substr(space + 1));
      return true;
    }
    check_tree("a string");
    return JsonTreeBuilder::string(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kVocabulary) {
      // Ids are dense, so an id above every possible count is refused without arithmetic on it.
      constexpr number_unsigned_t kMost = kMaxTokenizerFileBytes;
      add_token(static_cast<int64_t>(std::min(value, kMost)));
      return true;
    }
    check_tree("a number");
    return JsonTreeBuilder::number_unsigned(value);
  }
  bool number_integer(number_integer_t value) override {
    if (state_ == State::kVocabulary) {
      add_token(value);
      return true;
    }
    check_tree("a number");
    return JsonTreeBuilder::number_integer(value);
  }
  bool number_float(number_float_t value, const std::string& digits) override {
    check_tree("a number with a fraction or of more than 64 bits");
    return JsonTreeBuilder::number_float(value, digits);
  }
  bool boolean(bool value) override {
    check_tree("a boolean");
    return JsonTreeBuilder::boolean(value);
  }
  bool null() override {
    check_tree("null");
    return JsonTreeBuilder::null();
  }

 private:
  enum class State { kTree, kVocabulary, kMerges, kPair };

  static TokenizerFile::Text append(std::string& arena, std::string_view text) {
    const auto begin = static_cast<uint32_t>(arena.size());
    arena += text;
    return {begin, static_cast<uint32_t>(text.size())};
  }
  void add_merge_text(std::string_view text) { file_.merges.push_back(append(file_.merge_arena, text)); }
  void add_token(int64_t id) { file_.vocabulary.push_back({id, token_.begin, token_.length}); }

  void enter(bool& seen, const char* what) {
    if (seen) throw_error(ErrorKind::kBadModel, "{}: {} is there twice", name_, what);
    seen = true;
    state_ = next_;
    next_ = State::kTree;
  }
  bool leave() {
    state_ = State::kTree;
    return JsonTreeBuilder::null();  // a mark in the tree that the key was there
  }
  // An ordinary value, found where `found` may not be one?
  void check_tree(const char* found) const {
    if (next_ == State::kVocabulary) {
      throw_error(ErrorKind::kBadModel, "{}: model.vocab is {}, expected an object of token: id", name_,
                  found);
    }
    if (next_ == State::kMerges) {
      throw_error(ErrorKind::kBadModel, "{}: model.merges is {}, expected a list of pairs", name_, found);
    }
    if (state_ == State::kVocabulary) {
      const std::string_view token(file_.arena.data() + token_.begin, token_.length);
      throw_error(ErrorKind::kBadModel, "{}: model.vocab[\"{}\"] is {}, expected an id 0, 1, 2 …", name_,
                  token, found);
    }
    if (state_ != State::kTree) bad_merge(found);
  }
  [[noreturn]] void bad_merge(std::string_view found) const {
    throw_error(ErrorKind::kBadModel,
                "{}: model.merges[{}] is {}, expected [\"left\", \"right\"] or \"left right\"", name_,
                state_ == State::kMerges ? file_.merges.size() / 2 : merge_, found);
  }

  std::string name_;
  TokenizerFile& file_;
  State state_ = State::kTree, next_ = State::kTree;
  bool in_model_ = false, saw_vocabulary_ = false, saw_merges_ = false;
  size_t merge_ = 0;  // index of the pair being read
  int pair_strings_ = 0;
  TokenizerFile::Text token_;
};

class Settings {
 public:
  Settings(const Json& tree, const std::string& name) : tree_(tree), name_(name) {}

  [[noreturn]] void bad(std::string_view key, std::string_view found, std::string_view expected) const {
    throw_error(ErrorKind::kBadModel,
                "{}: {} is {}, expected {}; is this the tokenizer.json of a Gemma 4 model?", name_, key,
                found, expected);
  }
  static const Json& at(const Json& object, const char* key) {
    static const Json nothing;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() ? *found : nothing;
  }
  static std::string show(const Json& value) {
    if (value.is_string() && value.get_ref<const std::string&>().size() <= 40) return value.dump();
    if (value.is_boolean()) return value.dump();
    return std::string(json_type(value));
  }
  bool flag(const Json& object, const std::string& prefix, const char* key, bool absent) const {
    const Json& value = at(object, key);
    if (value.is_null()) return absent;
    if (!value.is_boolean()) bad(prefix + key, show(value), "true or false");
    return value.get<bool>();
  }

  void model(TokenizerFile& file) const {
    const Json& model = at(tree_, "model");
    if (!model.is_object()) bad("model", show(model), "an object");
    if (at(model, "type") != "BPE") bad("model.type", show(at(model, "type")), "\"BPE\"");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = at(model, key);
      if (!value.is_null() && value != "") bad(std::string("model.") + key, show(value), "null");
    }
    if (flag(model, "model.", "ignore_merges", false)) bad("model.ignore_merges", "true", "false");
    file.byte_fallback = flag(model, "model.", "byte_fallback", false);
    file.fuse_unk = flag(model, "model.", "fuse_unk", false);
    const Json& unk = at(model, "unk_token");
    if (!unk.is_null() && !unk.is_string()) bad("model.unk_token", show(unk), "a string or null");
    if (unk.is_string()) file.unk_token = unk.get<std::string>();
  }
  // Space → U+2581 and nothing else. The published pre-tokenizer splits on spaces, of which none is left by
  // then.
  void normalizer() const {
    const Json* normalizer = &at(tree_, "normalizer");
    const Json& sequence = at(*normalizer, "normalizers");
    if (at(*normalizer, "type") == "Sequence" && sequence.is_array() && sequence.size() == 1) {
      normalizer = &sequence.front();
    }
    if (at(*normalizer, "type") != "Replace" || at(at(*normalizer, "pattern"), "String") != " " ||
        at(*normalizer, "content") != "\u2581") {
      bad("normalizer", "another one", "Replace \" \" by \"\u2581\"");
    }
    const Json& split = at(tree_, "pre_tokenizer");
    if (split.is_null()) return;
    if (at(split, "type") != "Split" || at(at(split, "pattern"), "String") != " ") {
      bad("pre_tokenizer", "another one", "null or Split on \" \"");
    }
  }
  void added_tokens(TokenizerFile& file) const {
    const Json& list = at(tree_, "added_tokens");
    if (!list.is_array()) bad("added_tokens", show(list), "a list");
    for (const Json& entry : list) {
      const std::string where = "added_tokens[" + std::to_string(file.added.size()) + "].";
      const Json& id = at(entry, "id");
      const Json& content = at(entry, "content");
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= kMaxTokenizerFileBytes)
        bad(where + "id", show(id), "an id");
      if (!content.is_string()) bad(where + "content", show(content), "a string");
      const auto& text = content.get_ref<const std::string&>();
      if (text.empty() || text.size() > kMaxAddedTokenBytes) {
        bad(where + "content", std::to_string(text.size()) + " bytes long", "1 to 256 bytes");
      }
      for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
        if (flag(entry, where, key, false)) bad(where + key, "true", "false");
      }
      const auto begin = static_cast<uint32_t>(file.arena.size());
      file.arena += text;
      file.added.push_back({{id.get<int64_t>(), begin, static_cast<uint32_t>(text.size())},
                            flag(entry, where, "special", true)});
    }
  }

 private:
  const Json& tree_;
  const std::string& name_;
};

}  // namespace

TokenizerFile read_tokenizer_file(std::string_view json, const std::string& name) {
  if (json.size() > kMaxTokenizerFileBytes) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, at most {} are read", name, json.size(),
                kMaxTokenizerFileBytes);
  }
  TokenizerFile file;
  Reader reader(json, name, file);
  Json::sax_parse(json.begin(), json.end(), &reader);
  const Settings settings(reader.tree(), name);
  if (!reader.tree().is_object()) settings.bad("the file", Settings::show(reader.tree()), "an object");
  settings.model(file);
  if (!reader.saw_vocabulary()) settings.bad("model.vocab", "missing", "an object of token: id");
  if (!reader.saw_merges() || file.merges.empty()) {
    settings.bad("model.merges", reader.saw_merges() ? "empty" : "missing", "the ranked list of pairs");
  }
  settings.normalizer();
  settings.added_tokens(file);
  return file;
}

}  // namespace tessera
