#include "comm/exchange.h"

#include <span>

namespace megalith {

std::int64_t union_of(Communicator& group, std::int64_t bits) {
  group.wait(group.all_reduce(std::span(&bits, 1), IntegerReduction::bit_or));
  return bits;
}

std::vector<std::int64_t> numbers_of(Communicator& group, std::int64_t mine) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(group.size()));
  group.wait(group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all))));
  return all;
}

std::int64_t number_from(Communicator& group, std::int64_t number, int root) {
  group.wait(group.broadcast(std::as_writable_bytes(std::span(&number, 1)), root));
  return number;
}

std::string text_from(Communicator& group, const std::string& text, int root) {
  std::string copy = text;
  copy.resize(static_cast<std::size_t>(number_from(group, static_cast<std::int64_t>(text.size()), root)));
  group.wait(group.broadcast(std::as_writable_bytes(std::span(copy)), root));
  return copy;
}

std::vector<std::string> texts_of(Communicator& group, const std::string& mine) {
  std::vector<std::string> all;
  for (int rank = 0; rank < group.size(); ++rank) all.push_back(text_from(group, mine, rank));
  return all;
}

}  // namespace megalith
