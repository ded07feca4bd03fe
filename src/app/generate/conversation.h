// `megalith generate --interactive`: prompts line by line, answers as they come.
#pragma once

#include "app/exit_code.h"
#include "app/generation.h"
#include "app/loaded_model.h"

namespace megalith::app {

// Answers every line of standard input with what `request` asks for; empty lines are passed over. Answer
// number k, from 0, draws with the seed + k, so that a question asked again is answered anew.
//
// Each line is a document of its own, or with `keep_context` the next line of one document: all lines and
// answers so far, each from a new line; its oldest tokens are forgotten where prompt and answer would not
// fit into the model's context.
//
// Ctrl-C stops an answer. Where none is being given, or a second time, it leaves, as does the end of input.
ExitCode converse(const LoadedModel& model, GenerationRequest request, bool keep_context);

}  // namespace megalith::app
