// Whether samples read like the text they were trained on, without being a copy of it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace megalith::app {

struct SampleChecks {
  std::size_t words = 0;   // of four or more letters, whole ones: not those at a sample's ends
  double known_share = 0;  // of these, the share that occurs in the training text; 1 when there are none
  std::size_t most_repeats = 0;  // how often the most frequent run of eight words occurs within one sample
  std::string repeated_words;    // that run, when it occurs at least three times; else empty
  std::size_t longest_copy =
      0;                    // bytes of the longest passage that stands in a sample and in the training text
  std::string copied_text;  // that passage
};

// Words are runs of letters, compared without regard to ASCII case; signs and frames are no letters. Takes
// time linear in the training text times the logarithm of the longest sample, and memory linear in the
// samples and the distinct words.
SampleChecks check_samples(std::span<const std::string> samples, std::string_view training);

}  // namespace megalith::app
