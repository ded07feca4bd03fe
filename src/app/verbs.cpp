#include "app/verbs.h"

namespace megalith::app {

std::span<const AddVerb> all_verbs() {
  static constexpr AddVerb kVerbs[] = {
      add_doctor_verb,
      add_report_verb,
  };
  return kVerbs;
}

}  // namespace megalith::app
