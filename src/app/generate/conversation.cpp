#include "app/generate/conversation.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "app/console.h"
#include "app/generate/output.h"
#include "app/interrupt.h"
#include "app/standard_input.h"

namespace megalith::app {
namespace {

constexpr std::size_t kLongestLine = std::size_t{1} << 20;

// The document that the next prompt continues.
class Document {
 public:
  // `room`: tokens that a prompt may have, `ids` what it begins with.
  Document(const Tokenizer& tokenizer, std::size_t room, std::vector<std::int32_t> ids)
      : tokenizer_(tokenizer), room_(room), ids_(std::move(ids)) {}

  void append(std::string_view text) {
    tokenizer_.encode(text, ids_);
    if (ids_.size() > room_) ids_.erase(ids_.begin(), ids_.end() - static_cast<std::ptrdiff_t>(room_));
  }
  [[nodiscard]] const std::vector<std::int32_t>& ids() const { return ids_; }

 private:
  const Tokenizer& tokenizer_;
  std::size_t room_;
  std::vector<std::int32_t> ids_;
};

// What is left of the context after the longest answer, or half of it if that is more.
std::size_t prompt_room(std::int64_t context, std::int64_t max_tokens) {
  return static_cast<std::size_t>(std::max({std::int64_t{1}, context / 2, context - max_tokens}));
}

Continuation answer(const LoadedModel& model, const GenerationRequest& request) {
  const std::int64_t capacity = static_cast<std::int64_t>(request.prompt.size()) + request.max_tokens + 1;
  Generator generator(*model.device, model.transformer, model.config.numerics, 1, capacity);
  return print_as_it_comes(generator, &*model.tokenizer, request);
}

void greet(bool terminal) {
  if (terminal) complain("a line is a prompt; Ctrl-C stops an answer, a second one or Ctrl-D leaves");
}

}  // namespace

ExitCode converse(const LoadedModel& model, GenerationRequest request, bool keep_context) {
  if (!model.tokenizer) {
    throw RefusedInput({{.where = "--interactive",
                         .found = "a model without tokenizer",
                         .allowed = "a model of text",
                         .nearest = "--prompt-ids 1,2,3"}});
  }
  const std::int64_t context = model.config.model.sequence;
  Document document(*model.tokenizer, prompt_room(context, request.max_tokens), model.prompt_begin);
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  watch_for_interrupts();
  LineReader lines(STDIN_FILENO, kLongestLine, interrupted);
  greet(terminal);
  while (!output_is_gone()) {
    if (terminal) print("> ");
    flush_output();
    std::string line;
    const LineReader::Status status = lines.next(line);
    if (status == LineReader::Status::end || status == LineReader::Status::interrupted) {
      if (terminal) print("\n");
      break;
    }
    if (status == LineReader::Status::too_long)
      complain(fmt::format("a line of more than {} bytes was passed over", kLongestLine));
    if (status == LineReader::Status::too_long || line.empty()) continue;

    const Expected<std::vector<std::int32_t>> alone =
        prompt_ids(&*model.tokenizer, line, context, model.prompt_begin);
    if (!alone) {
      complain(to_string(alone.error()));
      continue;
    }
    document.append(line);
    request.prompt = keep_context ? document.ids() : *alone;
    const Continuation given = answer(model, request);
    document.append(given.text.ends_with('\n') ? given.text : given.text + "\n");
    ++request.sampling.seed;
    forget_ctrl_c();
  }
  return interrupted() ? ExitCode::stopped : ExitCode::done;
}

}  // namespace megalith::app
