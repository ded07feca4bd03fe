// Every verb, in the order in which --help lists them. A new verb is a declaration here and a line in
// verbs.cpp.
#pragma once

#include <span>

#include "app/verb.h"

namespace megalith::app {

void add_doctor_verb(CLI::App& app, Run& run);
void add_train_verb(CLI::App& app, Run& run);
void add_generate_verb(CLI::App& app, Run& run);
void add_config_verb(CLI::App& app, Run& run);
void add_tokenizer_verb(CLI::App& app, Run& run);
void add_data_verb(CLI::App& app, Run& run);
void add_plan_verb(CLI::App& app, Run& run);
void add_verify_layout_verb(CLI::App& app, Run& run);
void add_report_verb(CLI::App& app, Run& run);
void add_completion_verb(CLI::App& app, Run& run);
void add_manual_verb(CLI::App& app, Run& run);

std::span<const AddVerb> all_verbs();

}  // namespace megalith::app
