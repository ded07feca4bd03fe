#include "app/report/html_page.h"

#include <gtest/gtest.h>

#include "app/html_check.h"
#include "app/run_folder.h"

namespace megalith::app {
namespace {

std::string page_of(const RunFolder& folder) {
  return html_page(value_or_throw(read_run(folder.path())));
}

TEST(HtmlCheck, CanFail) {
  EXPECT_EQ(html_problem("<p>a<br>b</p>"), "");
  EXPECT_NE(html_problem("<p>a"), "");
  EXPECT_NE(html_problem("<p><b></p></b>"), "");
  EXPECT_NE(html_problem("<p>a & b</p>"), "");
  EXPECT_NE(html_problem("<p>a > b</p>"), "");
  EXPECT_NE(html_problem("<p class=x>a</p>"), "");
}

TEST(Report, IsWellFormedAndComplete) {
  const RunFolder folder;
  folder.fill(500);
  const std::string page = page_of(folder);
  EXPECT_EQ(html_problem(page), "");
  for (const char* part : {"Loss", "Gradient norm", "Learning rate", "tokens per second", "Samples", "Config",
                           "Next", "1.02M tokens", "a processor", "MFU = ", " generate ", "xmlns"}) {
    EXPECT_EQ(page.find(part) != std::string::npos, std::string_view(part) != "xmlns") << part;
  }
}

TEST(Report, CountsThePeakByTwoConventionsAndSetsMemoryBesideThePrediction) {
  const RunFolder folder;
  folder.fill(10);
  const std::string page = page_of(folder);
  for (const char* part :
       {"44.0% by PaLM", "<dt>Joules per token</dt><dd>0.025",
        "By PaLM&#39;s count 44.0%: 6 parameters and so on",
        "<tr><td>workspace</td><td class=\"number\">2.0</td><td class=\"number\">1.0</td></tr>"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

TEST(Report, SetsTheLossOfTheWeightsItBeganWithBesideTheTunedOne) {
  const RunFolder folder;
  folder.fill(10);
  EXPECT_EQ(page_of(folder).find("began with"), std::string::npos);
  folder.write("metrics.jsonl",
               "{\"step\":0,\"validation_loss\":5.25}\n{\"step\":10,\"validation_loss\":3.5}\n");
  EXPECT_NE(page_of(folder).find("validation 3.500 nats per token; 5.250 of the weights it began with"),
            std::string::npos);
}

TEST(Report, SaysWhichBaselinesItLosesTo) {
  const RunFolder folder;
  folder.fill(10);
  const std::string page = page_of(folder);
  EXPECT_NE(page.find("beats 1 of 2 baselines"), std::string::npos);
  EXPECT_NE(page.find("loses to it"), std::string::npos);
}

TEST(Report, LoadsNothing) {
  const RunFolder folder;
  folder.fill(10);
  folder.write("samples/9.json",
               R"({"step":9,"prompt":"see http://example.org","text":"see http://example.org"})");
  const std::string markup = markup_of(page_of(folder));
  for (const char* reference :
       {"http", "//", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"}) {
    EXPECT_EQ(markup.find(reference), std::string::npos) << reference;
  }
}

TEST(Report, EscapesWhatFilesSay) {
  const RunFolder folder;
  const std::string attack = R"(\"><script>alert(1)</script><b x='&)";
  folder.fill(3);
  folder.write("config.toml", "</pre><script>x</script>\x01\xFF");
  folder.write("run.json", R"({")" + attack + R"(":")" + attack + R"(","machine":")" + attack + R"("})");
  folder.write("evaluation.json", R"({"held_out_bits_per_byte":2,"baselines":[{"name":")" + attack +
                                      R"(","bits_per_byte":3,"note":")" + attack +
                                      R"("}],"sample_checks":{")" + attack + R"(":")" + attack + R"("}})");
  folder.write("samples/1.json",
               R"({"step":1,"prompt":")" + attack + R"(","text":")" + attack + R"( more\u202e"})");
  const std::string page = page_of(folder);
  EXPECT_EQ(html_problem(page), "");
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;"), std::string::npos);
  EXPECT_EQ(page.find("\xE2\x80\xAE"), std::string::npos);
}

TEST(Report, ComesOutOfAlmostNothing) {
  const RunFolder folder;
  folder.write("config.toml", "");
  EXPECT_EQ(html_problem(page_of(folder)), "");
  folder.write(
      "ledger.jsonl",
      "{\"step\":1,\"loss\":1e308,\"tokens\":1e308}\n{\"step\":2,\"loss\":-1e308,\"tokens\":1e308}\n");
  const std::string page = page_of(folder);
  EXPECT_EQ(html_problem(page), "");
  EXPECT_EQ(markup_of(page).find("nan"), std::string::npos);
}

TEST(Report, IsTheSameForTheSameRun) {
  const RunFolder folder;
  folder.fill(20);
  EXPECT_EQ(page_of(folder), page_of(folder));
}

}  // namespace
}  // namespace megalith::app
