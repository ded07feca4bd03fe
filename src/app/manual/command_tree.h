// The verbs and options as the parser knows them, for the manual page and the shells' completion: what they
// say cannot differ from what the program accepts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace megalith::app {

// What a shell can propose for an argument.
enum class Takes : std::uint8_t {
  nothing,     // a flag
  number,      // nothing to propose
  text,        // maybe a path
  key,         // a key of a training config: an argument called KEY
  assignment,  // KEY=VALUE
};

struct CommandArgument {
  std::vector<std::string> names;  // "-h", "--help"; empty for one that is told by its place
  std::string value;               // "KEY=VALUE", "NUMBER", "FILES"; empty for a flag
  Takes takes = Takes::nothing;
  std::string help;
  std::string range;          // "[0 - 1024]", or empty
  std::string default_value;  // empty: none is shown
  bool required = false;
  bool repeats = false;
};

struct Command {
  std::string name;  // "megalith", "data", "build"
  std::string help;
  std::string footer;                       // examples, verbatim
  std::vector<CommandArgument> options;     // in the order of --help
  std::vector<CommandArgument> positional;  // in the order of the command line
  std::vector<Command> commands;
};

// Hidden verbs and options are left out.
Command read_command(const CLI::App& app);

// One verb of the tree with the words that lead to it: {"data", "build"}; none for the program itself.
struct CommandPath {
  std::vector<std::string> words;
  const Command* command = nullptr;
};

// Every command of the tree, the outer ones first. Points into `root`.
std::vector<CommandPath> all_commands(const Command& root);

// The words apart by spaces.
std::string joined(const std::vector<std::string>& words);

}  // namespace megalith::app
