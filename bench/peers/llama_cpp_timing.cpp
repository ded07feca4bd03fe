// Times llama.cpp as its own llama-bench does, through its library alone: that program needs half an hour of
// compiling more.
//   llama_cpp_timing MODEL THREADS FLASH_ATTENTION REPETITIONS
// Prints a JSON object: tokens a second of each repetition, of a prompt of 512 tokens and of 128 generated
// ones. llama_cpp.py builds it; no part of this project does.
#include <llama.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

constexpr int kPrompt = 512;
constexpr int kAnswer = 128;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

void decode(llama_context* context, std::vector<llama_token>& tokens) {
  const auto count = static_cast<std::int32_t>(tokens.size());
  if (llama_decode(context, llama_batch_get_one(tokens.data(), count)) != 0) fail("llama_decode failed");
  llama_synchronize(context);
}

std::vector<llama_token> random_tokens(llama_context* context, int count) {
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
  std::vector<llama_token> tokens(static_cast<std::size_t>(count));
  for (llama_token& token : tokens) token = std::rand() % vocabulary;
  return tokens;
}

// Once without counting, then each repetition from an empty cache.
void time(const char* name, llama_context* context, int tokens, int repetitions,
          const std::function<void()>& work) {
  std::printf("\"%s\": [", name);
  for (int i = -1; i < repetitions; ++i) {
    llama_memory_clear(llama_get_memory(context), false);
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (i >= 0) std::printf("%s%.1f", i > 0 ? ", " : "", tokens / seconds.count());
  }
  std::printf("]");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) fail("MODEL THREADS FLASH_ATTENTION REPETITIONS");
  const int threads = std::atoi(argv[2]);
  const int repetitions = std::atoi(argv[4]);
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all();
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) fail("the model was not loaded");
  llama_context_params params = llama_context_default_params();
  params.n_ctx = kPrompt + kAnswer;
  params.n_batch = 2048;
  params.n_ubatch = 512;
  params.n_threads = threads;
  params.n_threads_batch = threads;
  params.flash_attn_type =
      std::atoi(argv[3]) != 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) fail("no context");
  std::printf("{\"system\": \"%s\", ", llama_print_system_info());
  time("prompt", context, kPrompt, repetitions, [&] {
    std::vector<llama_token> tokens = random_tokens(context, kPrompt);
    decode(context, tokens);
  });
  std::printf(", ");
  time("answer", context, kAnswer, repetitions, [&] {
    for (int i = 0; i < kAnswer; ++i) {
      std::vector<llama_token> token = random_tokens(context, 1);
      decode(context, token);
    }
  });
  std::printf("}\n");
}
