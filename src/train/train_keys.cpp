// The declaration of every training key: one place per section.
#include <limits>

#include "train/train_config.h"

namespace megalith {
namespace {

constexpr std::int64_t kMany = std::int64_t{1} << 32;  // more steps or sequences than anyone trains
constexpr std::int64_t kManyRanks = 1 << 20;
constexpr std::int64_t kManyTokens = std::int64_t{1} << 50;  // likewise; exact in fp64

void declare_data_keys(Registry& registry, DataConfig& data) {
  registry.section("data", "What the model reads.");
  registry.text(
      "data.source", data.source,
      {.help =
           "\"synthetic\", a language generated from the seed, or the path of token files without .bin and "
           ".idx. Of shards it is the name they share, and a pattern with * takes several as one."});
  registry.text_list(
      "data.blend", data.blend,
      {.max_bytes = 4096,
       .help = "Several token files instead of data.source: \"corpus-train = 0.7\", a weight relative to the "
               "others, or \"corpus-train = 2 epochs\". Every stretch of training has these shares."});
  registry.text("data.held_out", data.held_out,
                {.empty = "none",
                 .help = "Path of token files to validate on, never trained on.",
                 .may_change_on_resume = true});
  registry.text_list(
      "data.more_held_out", data.more_held_out,
      {.max_bytes = 4096,
       .help = "Further token files to validate on, each by itself; metrics know them by the last "
               "part of their path, or more where that is shared.",
       .may_change_on_resume = true});
  registry.text(
      "data.tokenizer", data.tokenizer,
      {.empty = "none", .help = "The tokenizer.json that made the token files; without it ids are shown."});
  registry.boolean(
      "data.document_masks", data.document_masks,
      {.help = "Tokens do not attend to documents packed before theirs, and positions begin anew."});
  registry.choice(
      "data.loss_on", data.loss_on, {{"all", LossOn::all}, {"completion", LossOn::completion}},
      {.help = "Which targets count: all, or of documents built from {prompt, completion} only the "
               "completions."});
  registry.choice(
      "data.packing", data.packing, {{"stream", Packing::stream}, {"documents", Packing::documents}},
      {.help = "How documents fill sequences: one after the other, cut where a sequence ends, or as many "
               "whole ones as fit."});
  registry.real(
      "data.infill_rate", data.infill_rate,
      {.min = 0,
       .max = 1,
       .zero = "none",
       .help = "Share of the documents whose middle is moved behind the rest, so that the model learns "
               "to fill gaps; drawn anew each epoch. Validation then measures held-out middles too."});
  registry.real(
      "data.infill_spm", data.infill_spm,
      {.min = 0,
       .max = 1,
       .help = "Share of these in the order suffix, prefix, middle; the others begin with the prefix."});
  registry.text_list(
      "data.infill_tokens", data.infill_tokens,
      {.max_bytes = 256, .help = "The tokens that stand before prefix, suffix and middle, in this order."});
  registry.integer("data.synthetic_vocabulary", data.synthetic_vocabulary,
                   {.min = 1,
                    .max = 1 << 24,
                    .zero = "model.vocabulary",
                    .unit = "tokens",
                    .help = "Token ids of the synthetic language; at most model.vocabulary."});
}

void declare_batch_keys(Registry& registry, BatchConfig& batch) {
  registry.section("batch", "What one optimizer step sees.");
  registry.integer(
      "batch.global", batch.global,
      {.min = 1, .max = kMany, .unit = "sequences", .help = "Sequences per step; with a ramp, after it."});
  registry.integer("batch.micro", batch.micro,
                   {.min = 1,
                    .max = kMany,
                    .unit = "sequences",
                    .help = "Sequences per forward and backward pass; divides every size of batch, holds "
                            "whole grains. Changes "
                            "memory and speed, never a bit.",
                    .may_change_on_resume = true});
  registry.integer("batch.sequence", batch.sequence,
                   {.min = 1,
                    .max = 1 << 20,
                    .zero = "model.sequence",
                    .unit = "tokens",
                    .help = "Tokens per sequence; at most model.sequence."});
  registry.integer("batch.ramp_start", batch.ramp_start,
                   {.min = 1,
                    .max = kMany,
                    .zero = "no ramp",
                    .unit = "sequences",
                    .help = "Sequences of the first step, where the batch grows to batch.global."});
  registry.integer("batch.ramp_increment", batch.ramp_increment,
                   {.min = 1,
                    .max = kMany,
                    .zero = "no ramp",
                    .unit = "sequences",
                    .help = "What the batch grows by, in equal stretches of the ramp; divides the way from "
                            "batch.ramp_start to batch.global."});
  registry.integer("batch.ramp_samples", batch.ramp_samples,
                   {.min = 1,
                    .max = kManyTokens,
                    .zero = "no ramp, or batch.ramp_tokens",
                    .unit = "sequences",
                    .help = "Length of the ramp; the steps behind it have batch.global sequences."});
  registry.integer("batch.ramp_tokens", batch.ramp_tokens,
                   {.min = 1,
                    .max = kManyTokens,
                    .zero = "no ramp, or batch.ramp_samples",
                    .unit = "tokens",
                    .help = "Length of the ramp, in tokens."});
}

void declare_optimizer_keys(Registry& registry, OptimizerConfig& optimizer) {
  registry.section("optimizer", "AdamW.");
  registry.real("optimizer.learning_rate", optimizer.learning_rate,
                {.min = 0, .max = 10, .min_excluded = true, .help = "Peak learning rate."});
  registry.real("optimizer.beta1", optimizer.beta1,
                {.min = 0, .max = 1, .max_excluded = true, .help = "Decay of the mean of gradients."});
  registry.real(
      "optimizer.beta2", optimizer.beta2,
      {.min = 0, .max = 1, .max_excluded = true, .help = "Decay of the mean of squared gradients."});
  registry.real("optimizer.epsilon", optimizer.epsilon,
                {.min = 0, .max = 1, .min_excluded = true, .help = "Added to the root of the mean square."});
  registry.real(
      "optimizer.weight_decay", optimizer.weight_decay,
      {.min = 0, .max = 10, .help = "Decoupled decay of matrices and tables; gains and biases take none."});
  registry.real("optimizer.clip", optimizer.clip,
                {.min = 0,
                 .max = 1e6,
                 .min_excluded = true,
                 .zero = "no clipping",
                 .help = "Largest global norm of the mean gradient."});
  registry.real(
      "optimizer.z_loss", optimizer.z_loss,
      {.min = 0,
       .max = 1,
       .help = "Coefficient of the squared log of the softmax's sum: keeps logits from drifting (PaLM "
               "1e-4). No part of the loss that is reported."});
  registry.text_list(
      "optimizer.learning_rate_factors", optimizer.learning_rate_factors,
      {.max_bytes = 200,
       .help = "\"PATTERN = FACTOR\": parameters whose name matches (* takes anything) learn at that "
               "multiple of the rate; 0 freezes them. Of several the last that matches counts."});
}

void declare_rate_keys(Registry& registry, ScheduleConfig& schedule) {
  const auto amount = [&](const char* name, std::int64_t& field, bool tokens, const char* zero,
                          const char* help, bool may_change) {
    registry.integer(name, field,
                     {.min = 1,
                      .max = tokens ? kManyTokens : kMany,
                      .zero = zero,
                      .unit = tokens ? "tokens" : "steps",
                      .help = help,
                      .may_change_on_resume = may_change});
  };
  amount("schedule.warmup_steps", schedule.warmup_steps, false, "none, or schedule.warmup_tokens",
         "Steps of linear rise to the peak.", false);
  registry.former_name("schedule.warmup", "schedule.warmup_steps");
  amount("schedule.warmup_tokens", schedule.warmup_tokens, true, "none, or schedule.warmup_steps",
         "Tokens of linear rise to the peak.", false);
  registry.choice("schedule.decay", schedule.decay,
                  {{"cosine", LearningRateDecay::cosine},
                   {"linear", LearningRateDecay::linear},
                   {"constant", LearningRateDecay::constant},
                   {"wsd", LearningRateDecay::wsd},
                   {"inverse_sqrt", LearningRateDecay::inverse_sqrt}},
                  {.help = "Learning rate after warm-up. wsd stays at the peak and decays in the last "
                           "schedule.cooldown_steps; inverse_sqrt is the peak times the root of warm-up by "
                           "steps (or tokens) done, at least schedule.minimum_ratio."});
  amount("schedule.horizon_steps", schedule.horizon_steps, false, "the end of the run",
         "Where the decay ends, counted from the run's first step; it may lie beyond the run's end.", false);
  amount("schedule.horizon_tokens", schedule.horizon_tokens, true, "schedule.horizon_steps",
         "Where the decay ends, in tokens from the run's start; the run may stop before.", false);
  amount("schedule.cooldown_steps", schedule.cooldown_steps, false, "none, or schedule.cooldown_tokens",
         "Length of wsd's decay, which ends at the horizon.", true);
  amount("schedule.cooldown_tokens", schedule.cooldown_tokens, true, "none, or schedule.cooldown_steps",
         "Length of wsd's decay, in tokens.", true);
  registry.choice("schedule.cooldown_shape", schedule.cooldown_shape,
                  {{"linear", CooldownShape::linear},
                   {"cosine", CooldownShape::cosine},
                   {"square_root", CooldownShape::square_root}},
                  {.help = "Shape of wsd's decay; square_root falls as 1 - sqrt of the way.",
                   .may_change_on_resume = true});
  registry.real("schedule.minimum_ratio", schedule.minimum_ratio,
                {.min = 0, .max = 1, .help = "Learning rate where the decay ends, as a share of the peak."});
}

void declare_schedule_keys(Registry& registry, ScheduleConfig& schedule) {
  registry.section("schedule", "How long, and the learning rate on the way.");
  registry.integer("schedule.steps", schedule.length.steps,
                   {.min = 1,
                    .max = kMany,
                    .zero = "schedule.tokens or schedule.epochs",
                    .unit = "steps",
                    .help = "Optimizer steps of the run. The decay of the learning rate ends with the run, "
                            "unless a horizon says otherwise.",
                    .may_change_on_resume = true});
  registry.integer(
      "schedule.tokens", schedule.length.tokens,
      {.min = 1,
       .max = kManyTokens,
       .zero = "schedule.steps or schedule.epochs",
       .unit = "tokens",
       .help = "Instead of schedule.steps: the run ends with the step that reaches so many tokens.",
       .may_change_on_resume = true});
  registry.real(
      "schedule.epochs", schedule.length.epochs,
      {.min = 0,
       .max = 1e6,
       .min_excluded = true,
       .zero = "schedule.steps or schedule.tokens",
       .unit = "epochs",
       .help = "Instead of schedule.steps: passes over the token files; over a blend by epochs, passes "
               "over what it lists; over one by weights, as many samples as its sources have.",
       .may_change_on_resume = true});
  declare_rate_keys(registry, schedule);
}

void declare_pipeline_keys(Registry& registry, ParallelConfig& parallel) {
  registry.choice(
      "parallel.schedule", parallel.schedule,
      {{"gpipe", ScheduleKind::gpipe},
       {"1f1b", ScheduleKind::one_f_one_b},
       {"interleaved", ScheduleKind::interleaved},
       {"zero_bubble", ScheduleKind::zero_bubble}},
      {.help = "Order in which stages work through the micro batches: all forward passes first, one "
               "forward and one backward in turn, the same with several chunks of layers per rank, "
               "or with weight gradients put off into the bubble.",
       .may_change_on_resume = true});
  registry.integer(
      "parallel.chunks", parallel.chunks,
      {.min = 1,
       .max = 1024,
       .unit = "chunks",
       .help = "Chunks of layers per rank (virtual stages): more than one goes with the schedule "
               "interleaved, whose bubble they divide.",
       .may_change_on_resume = true});
  registry.text(
      "parallel.stage_layers", parallel.stage_layers,
      {.empty = "as even as may be",
       .max_bytes = 4096,
       .help = "Layers of every chunk in the model's order, such as \"3, 2, 3\": uneven stages make up "
               "for the work of embedding and head.",
       .may_change_on_resume = true});
}

void declare_parallel_keys(Registry& registry, ParallelConfig& parallel) {
  registry.section("parallel",
                   "How ranks share the work. Never changes a bit, so a run may go on in any other layout.");
  const auto degree = [&](const char* name, std::int64_t& field, const char* zero, const char* help) {
    registry.integer(name, field,
                     {.min = 1,
                      .max = kManyRanks,
                      .zero = zero,
                      .unit = "ranks",
                      .help = help,
                      .may_change_on_resume = true});
  };
  degree("parallel.tensor", parallel.tensor, nullptr,
         "Ranks that share each matrix; divides numerics.tree and model.heads.");
  degree("parallel.pipeline", parallel.pipeline, nullptr, "Stages that share the layers.");
  degree("parallel.data", parallel.data, "all ranks that the others leave", "Replicas that share the batch.");
  registry.boolean(
      "parallel.sequence", parallel.sequence,
      {.help = "Tensor ranks share the tokens too where each would compute the same: less memory, "
               "the same traffic.",
       .may_change_on_resume = true});
  declare_pipeline_keys(registry, parallel);
  registry.integer(
      "parallel.zero", parallel.zero,
      {.min = 1,
       .max = 3,
       .zero = "nothing is sharded",
       .help = "What data ranks share instead of each holding all: 1 optimizer state, 2 gradients too, 3 "
               "weights too.",
       .may_change_on_resume = true});
  registry.choice(
      "parallel.recompute", parallel.recompute,
      {{"none", Recompute::none}, {"selective", Recompute::selective}, {"full", Recompute::full}},
      {.help = "What backward computes again instead of keeping it: nothing, the attention core, or whole "
               "blocks.",
       .may_change_on_resume = true});
  registry.integer("parallel.recompute_layers", parallel.recompute_layers,
                   {.min = 1,
                    .max = 10000,
                    .zero = "all",
                    .unit = "layers",
                    .help = "How many of a rank's layers recompute, the first ones.",
                    .may_change_on_resume = true});
}

void declare_numerics_keys(Registry& registry, NumericsProfile& numerics) {
  registry.section("numerics", "The profile that the bits of a run depend on; docs/numerics.md explains it.");
  registry.choice(
      "numerics.mode", numerics.mode, {{"exact", NumericsMode::exact}, {"fast", NumericsMode::fast}},
      {.help = "exact: the same bits in every layout. fast: less time and memory, gradients of matrices in "
               "f32, and bits that each layout has for itself."});
  registry.choice(
      "numerics.dtype", numerics.compute, {{"bf16", DType::bf16}, {"f32", DType::f32}},
      {.help = "Activations, working weights and key/value cache; master weights are always f32."});
  registry.integer(
      "numerics.tree", numerics.tree,
      {.min = 1,
       .max = 64,
       .power_of_two = true,
       .unit = "leaves",
       .help = "Parts of every sum that tensor parallelism may cut; its degree divides this. With "
               "numerics.mode = \"fast\" a rank's parts are one."});
  registry.integer(
      "numerics.grain", numerics.grain,
      {.min = 32,
       .max = 1 << 26,
       .zero = "the fewest whole sequences of a multiple of 32 tokens",
       .unit = "tokens",
       .help = "Consecutive tokens whose weight gradient is rounded once: a multiple of 32, and a multiple "
               "or a divisor of batch.sequence. A micro batch is whole grains. With numerics.mode = \"fast\" "
               "only what data "
               "ranks are dealt and the output layer takes at once."});
  registry.integer(
      "numerics.sequence_slices", numerics.sequence_slices,
      {.min = 1, .max = 1, .unit = "slices", .help = "Slices of a sequence that ranks may own."});
  registry.integer(
      "numerics.key_block", numerics.key_block,
      {.min = 16, .max = 1024, .power_of_two = true, .unit = "keys", .help = "Keys per attention block."});
  registry.integer("numerics.attention_split", numerics.attention_split,
                   {.min = 16,
                    .max = 1 << 20,
                    .power_of_two = true,
                    .unit = "keys",
                    .help = "Keys after which the softmax starts fresh; a multiple of numerics.key_block."});
  registry.integer("numerics.vocab_block", numerics.vocab_block,
                   {.min = 16,
                    .max = 1 << 20,
                    .power_of_two = true,
                    .unit = "logits",
                    .help = "Logits per block of the cross entropy."});
}

void declare_output_keys(Registry& registry, TrainConfig& config) {
  registry.section("checkpoint", "When the run is saved. It always is at the end and when it is stopped.");
  registry.integer("checkpoint.interval", config.checkpoint.interval,
                   {.min = 1,
                    .max = kMany,
                    .zero = "only at the end",
                    .unit = "steps",
                    .help = "Steps between checkpoints.",
                    .may_change_on_resume = true});
  registry.integer("checkpoint.keep", config.checkpoint.keep,
                   {.min = 1,
                    .max = kMany,
                    .zero = "all",
                    .unit = "checkpoints",
                    .help = "Newest checkpoints that stay.",
                    .may_change_on_resume = true});
  registry.integer("checkpoint.keep_every", config.checkpoint.keep_every,
                   {.min = 1,
                    .max = kMany,
                    .zero = "none",
                    .unit = "steps",
                    .help = "Multiples of this step are saved and stay for ever, beside the newest.",
                    .may_change_on_resume = true});
  registry.boolean("checkpoint.keep_best", config.checkpoint.keep_best,
                   {.help = "Every validation that improves on the best held-out loss is saved, and the best "
                            "checkpoint stays: RUN@best.",
                    .may_change_on_resume = true});
  registry.section("validation", "Loss on held-out data during training.");
  registry.integer("validation.interval", config.validation.interval,
                   {.min = 1,
                    .max = kMany,
                    .zero = "only at the end",
                    .unit = "steps",
                    .help = "Steps between validations.",
                    .may_change_on_resume = true});
  registry.integer("validation.sequences", config.validation.sequences,
                   {.min = 1,
                    .max = kMany,
                    .zero = "all",
                    .unit = "sequences",
                    .help = "Held-out sequences per validation.",
                    .may_change_on_resume = true});
  registry.section("sample", "Text written by the model during training.");
  registry.integer("sample.interval", config.sample.interval,
                   {.min = 1,
                    .max = kMany,
                    .zero = "only at the end",
                    .unit = "steps",
                    .help = "Steps between samples.",
                    .may_change_on_resume = true});
  registry.text("sample.prompt", config.sample.prompt,
                {.empty = "the first tokens of held-out documents",
                 .help = "What the sample begins with.",
                 .may_change_on_resume = true});
  registry.integer("sample.tokens", config.sample.tokens,
                   {.min = 1,
                    .max = 1 << 20,
                    .zero = "no samples",
                    .unit = "tokens",
                    .help = "Length of a sample.",
                    .may_change_on_resume = true});
  registry.real("sample.temperature", config.sample.temperature,
                {.min = 0,
                 .max = 100,
                 .zero = "the most likely token",
                 .help = "Divides the logits.",
                 .may_change_on_resume = true});
  registry.integer("sample.top_k", config.sample.top_k,
                   {.min = 1,
                    .max = 1 << 24,
                    .zero = "all",
                    .unit = "tokens",
                    .help = "Only the most likely tokens are drawn from.",
                    .may_change_on_resume = true});
  registry.real("sample.top_p", config.sample.top_p,
                {.min = 0,
                 .max = 1,
                 .help = "Only the most likely tokens that hold this much probability are drawn from.",
                 .may_change_on_resume = true});
  registry.section("log", "What is printed.");
  registry.integer("log.interval", config.log_interval,
                   {.min = 1,
                    .max = kMany,
                    .unit = "steps",
                    .help = "Steps between lines where the output is no terminal.",
                    .may_change_on_resume = true});
}

void declare_metrics_keys(Registry& registry, MetricsConfig& metrics) {
  registry.section("metrics", "What is measured beside the loss, and where it is written.");
  registry.integer(
      "metrics.norms_every", metrics.norms_every,
      {.min = 1,
       .max = kMany,
       .zero = "never",
       .unit = "steps",
       .help = "Steps between norms of parameters, gradients and updates, per layer. Takes 4 bytes "
               "more per parameter. Never changes a bit.",
       .may_change_on_resume = true});
  registry.boolean("metrics.tensorboard", metrics.tensorboard,
                   {.help = "Curves and samples as event files in RUN/tensorboard too, for TensorBoard.",
                    .may_change_on_resume = true});
}

}  // namespace

void declare_train_keys(Registry& registry, TrainConfig& config) {
  registry.section("", "Keys without a section; they stand before the first one.");
  registry.integer(
      "seed", config.seed,
      {.min = 0, .help = "Seed of initial weights, dropout, data order and the synthetic language."});
  registry.section("train", "What a fresh run begins with.");
  registry.text(
      "train.init", config.init,
      {.empty = "random weights",
       .help = "Weights to begin with, with a fresh optimizer: a run, RUN@STEP, a checkpoint folder or "
               "a Hugging Face folder. model.* keys may then be left out."});
  declare_model_keys(registry, config.model);
  declare_data_keys(registry, config.data);
  declare_batch_keys(registry, config.batch);
  declare_optimizer_keys(registry, config.optimizer);
  declare_schedule_keys(registry, config.schedule);
  declare_parallel_keys(registry, config.parallel);
  declare_numerics_keys(registry, config.numerics);
  registry.section("device", "The processor.");
  registry.integer("device.threads", config.threads,
                   {.min = 1,
                    .max = 4096,
                    .zero = "every usable one",
                    .unit = "threads",
                    .help = "Computing threads. Never changes a bit.",
                    .may_change_on_resume = true});
  declare_output_keys(registry, config);
  declare_metrics_keys(registry, config.metrics);
}

}  // namespace megalith
