#include "app/command_line.h"
#include "app/console.h"

int main(int argc, char** argv) {
  using namespace megalith;
  app::let_writes_fail();
  const app::ExitCode code = app::run_guarded([argc, argv] {
    const app::Run run = value_or_throw(app::parse_command_line(argc, argv));
    return run();
  });
  return static_cast<int>(app::finish_output(code));
}
