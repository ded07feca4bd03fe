#include "app/html_check.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

namespace megalith::app {
namespace {

constexpr std::array<std::string_view, 4> kVoid = {"meta", "br", "!DOCTYPE", "link"};

bool is_void(std::string_view name) {
  for (const std::string_view entry : kVoid) {
    if (entry == name) return true;
  }
  return false;
}

// Only the entities that we write.
bool is_entity(std::string_view text) {
  for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
    if (text.starts_with(entity)) return true;
  }
  return false;
}

std::string attribute_problem(std::string_view attributes) {
  bool quoted = false;
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    if (attributes[i] == '"') quoted = !quoted;
    if (attributes[i] == '=' && !quoted && (i + 1 == attributes.size() || attributes[i + 1] != '"'))
      return "unquoted value";
    if (attributes[i] == '<') return "< in a tag";
  }
  return quoted ? "open quote" : "";
}

}  // namespace

std::string html_problem(std::string_view html) {
  std::vector<std::string> open;
  const auto at = [&](std::string_view what, std::size_t i) {
    return std::string(what) + " at: " + std::string(html.substr(i, 60));
  };
  for (std::size_t i = 0; i < html.size(); ++i) {
    if (html[i] == '>') return at("bare >", i);
    if (html[i] == '&' && !is_entity(html.substr(i))) return at("bare &", i);
    if (html[i] != '<') continue;
    const std::size_t end = html.find('>', i);
    if (end == std::string_view::npos) return at("tag without end", i);
    std::string_view tag = html.substr(i + 1, end - i - 1);
    const bool closing = tag.starts_with('/');
    if (closing) tag.remove_prefix(1);
    const bool empty = tag.ends_with('/');
    const std::string name(tag.substr(0, tag.find_first_of(" /")));
    if (name.empty() || (name[0] != '!' && std::isalpha(static_cast<unsigned char>(name[0])) == 0))
      return at("not a tag", i);
    if (const std::string problem = attribute_problem(tag); !problem.empty()) return at(problem, i);
    if (closing) {
      if (open.empty() || open.back() != name) return at("closes what is not open", i);
      open.pop_back();
    } else if (!empty && !is_void(name)) {
      open.push_back(name);
    }
    i = end;
    if (name == "style" && !closing) {
      i = html.find("</style>", i);
      if (i == std::string_view::npos) return "style without end";
      --i;
    }
  }
  return open.empty() ? "" : "left open: " + open.back();
}

std::string markup_of(std::string_view html) {
  std::string markup;
  bool style = false;
  for (std::size_t i = 0; i < html.size(); ++i) {
    if (html[i] != '<') {
      if (style) markup += html[i];
      continue;
    }
    const std::size_t end = std::min(html.find('>', i), html.size() - 1);
    markup += html.substr(i, end - i + 1);
    style = html.substr(i).starts_with("<style");
    i = end;
  }
  return markup;
}

}  // namespace megalith::app
