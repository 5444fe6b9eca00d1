#include "cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <deque>
#include <filesystem>
#include <iostream>
#include <string_view>

#include "cli/terminal.h"

namespace tessera::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kHistoryLines = 1000;
constexpr int kEscapeWaitMs = 30;     // an escape sequence arrives at once, an Escape key alone
constexpr wchar_t kRedraw = L'\x1f';  // Ctrl-_, bound to ed-redisplay
constexpr std::wstring_view kPasteBegin = L"\x1b[200~", kPasteEnd = L"\x1b[201~";

volatile std::sig_atomic_t window_changed = 0, continued = 0;
void on_window_change(int) {
  window_changed = 1;
}
void on_continue(int) {
  continued = 1;
}

std::string history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (state != nullptr && *state != '\0') {
    folder = state;
  } else if (home != nullptr && *home != '\0') {
    folder = fs::path(home) / ".local/state";
  } else {
    return "";
  }
  folder /= "tessera";
  std::error_code failed;
  fs::create_directories(folder, failed);
  return failed ? "" : (folder / "history").string();
}

}  // namespace

struct LineEditor::Impl {
  explicit Impl(InterruptPipe* pipe) : interrupts(pipe) {}

  /// Called by libedit for each key. 1: *out is it; 0: end of file; -1: interrupted.
  static int on_key(EditLine* editor, wchar_t* out);
  static char* on_prompt(EditLine* editor);
  static Impl& of(EditLine* editor);

  int next_key(wchar_t& key);                     // queue first, then the terminal
  int read_character(wchar_t& key, int wait_ms);  // one UTF-8 character; 2: nothing within wait_ms
  void read_escape();                             // after ESC: into the queue, or begins or ends a paste

  InterruptPipe* interrupts;  // not null with an editor
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt, history_path;
  std::deque<wchar_t> queue;  // read ahead
  std::wstring pasted;
  bool pasting = false, interrupted = false;
};

LineEditor::Impl& LineEditor::Impl::of(EditLine* editor) {
  void* self = nullptr;
  el_get(editor, EL_CLIENTDATA, &self);
  return *static_cast<Impl*>(self);
}

char* LineEditor::Impl::on_prompt(EditLine* editor) {
  return of(editor).prompt.data();
}

int LineEditor::Impl::on_key(EditLine* editor, wchar_t* out) {
  return of(editor).next_key(*out);
}

int LineEditor::Impl::next_key(wchar_t& key) {
  for (;;) {
    if (!queue.empty()) {
      key = queue.front();
      queue.pop_front();
      return 1;
    }
    const int got = read_character(key, -1);
    if (got != 1) return got;
    if (key == kPasteBegin.front()) {
      read_escape();
    } else if (pasting) {
      pasted += key == L'\r' ? L'\n' : key;
    } else {
      return 1;
    }
  }
}

void LineEditor::Impl::read_escape() {
  std::wstring sequence(1, kPasteBegin.front());
  while (kPasteBegin.starts_with(sequence) || kPasteEnd.starts_with(sequence)) {
    if (sequence == kPasteBegin || sequence == kPasteEnd) {
      pasting = sequence == kPasteBegin;
      if (!pasting && !pasted.empty()) {  // at once: key by key, libedit draws pasted lines twice
        el_winsertstr(editor, pasted.c_str());
        queue.push_back(kRedraw);
      }
      pasted.clear();
      return;
    }
    wchar_t key = 0;
    if (read_character(key, kEscapeWaitMs) != 1) break;
    sequence += key;
  }
  queue.insert(queue.end(), sequence.begin(), sequence.end());
}

int LineEditor::Impl::read_character(wchar_t& key, int wait_ms) {
  std::mbstate_t state{};
  for (;;) {
    pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupts->fd(), POLLIN, 0}};
    const int ready = ::poll(fds, 2, wait_ms);
    if (window_changed != 0) {
      window_changed = 0;
      el_resize(editor);
    }
    if (continued != 0) {  // back from Ctrl-Z: the shell has reset the terminal
      continued = 0;
      el_set(editor, EL_PREP_TERM, 0);
      el_set(editor, EL_PREP_TERM, 1);
      el_set(editor, EL_REFRESH);
    }
    if (ready == 0) return 2;
    if (ready < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (fds[1].revents != 0 && interrupts->take()) {
      interrupted = true;
      return -1;
    }
    if (fds[0].revents == 0) continue;
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return static_cast<int>(got);
    const size_t used = std::mbrtowc(&key, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // more bytes to come
    if (used == static_cast<size_t>(-1)) {
      state = {};
      key = L'\uFFFD';
    }
    return 1;
  }
}

LineEditor::LineEditor(InterruptPipe* interrupts) : impl_(std::make_unique<Impl>(interrupts)) {
  if (!stdin_is_terminal() || interrupts == nullptr) return;
  Impl& im = *impl_;
  im.editor = el_init("tessera", stdin, stdout, stderr);
  if (im.editor == nullptr) return;
  im.history = history_init();
  HistEvent event;
  history(im.history, &event, H_SETSIZE, kHistoryLines);
  history(im.history, &event, H_SETUNIQUE, 1);
  im.history_path = history_file();
  if (!im.history_path.empty()) history(im.history, &event, H_LOAD, im.history_path.c_str());
  el_set(im.editor, EL_CLIENTDATA, &im);
  el_set(im.editor, EL_PROMPT, Impl::on_prompt);
  el_set(im.editor, EL_EDITOR, "emacs");
  el_set(im.editor, EL_HIST, history, im.history);
  el_set(im.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(im.editor, EL_BIND, "^_", "ed-redisplay", nullptr);
  el_set(im.editor, EL_GETCFN, Impl::on_key);
  std::signal(SIGWINCH, on_window_change);
  std::signal(SIGCONT, on_continue);
}

LineEditor::~LineEditor() {
  if (impl_->editor == nullptr) return;
  std::signal(SIGWINCH, SIG_DFL);
  std::signal(SIGCONT, SIG_DFL);
  el_end(impl_->editor);
  history_end(impl_->history);
}

LineResult LineEditor::read(const std::string& prompt, std::string& line) {
  Impl& im = *impl_;
  line.clear();
  if (im.editor == nullptr) {
    if (!std::getline(std::cin, line)) return LineResult::kEnd;
    if (line.ends_with('\r')) line.pop_back();
    return LineResult::kLine;
  }
  im.prompt = prompt;
  im.interrupted = im.pasting = false;
  im.queue.clear();
  im.pasted.clear();
  im.interrupts->take();
  const bool can_paste = stderr_has_colour();
  if (can_paste) write_err("\x1b[?2004h");
  el_set(im.editor, EL_PREP_TERM, 1);  // before the prompt is seen: a quick Ctrl-D must not meet the old mode
  int bytes = 0;
  const char* typed = el_gets(im.editor, &bytes);
  if (can_paste) write_err("\x1b[?2004l");
  if (im.interrupted) {
    write_err("\n");
    return LineResult::kInterrupted;
  }
  if (typed == nullptr || bytes <= 0) {
    write_err("\n");
    return LineResult::kEnd;
  }
  line.assign(typed, static_cast<size_t>(bytes));
  if (line.ends_with('\n')) line.pop_back();
  if (line.find_first_not_of(" \t\n") != std::string::npos) {
    HistEvent event;
    history(im.history, &event, H_ENTER, line.c_str());
    if (!im.history_path.empty()) history(im.history, &event, H_SAVE, im.history_path.c_str());
  }
  return LineResult::kLine;
}

}  // namespace tessera::cli
