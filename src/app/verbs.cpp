#include "app/verbs.h"

namespace megalith::app {

std::span<const AddVerb> all_verbs() {
  static constexpr AddVerb kVerbs[] = {
      add_doctor_verb,    add_train_verb,      add_generate_verb, add_config_verb,
      add_tokenizer_verb, add_data_verb,       add_plan_verb,     add_verify_layout_verb,
      add_report_verb,    add_completion_verb, add_manual_verb,
  };
  return kVerbs;
}

}  // namespace megalith::app
