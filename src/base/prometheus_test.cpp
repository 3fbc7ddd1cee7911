// Catches: a label that breaks out of its quotes, a counter that calls itself a gauge, a number
// that a scraper cannot read.

#include "base/prometheus.h"

#include <gtest/gtest.h>

namespace noroshi {
namespace {

TEST(Prometheus, WritesWhatAScraperReads) {
  std::string text;
  prometheus::one(text, "a_total", "Things.", 3u);
  prometheus::one(text, "b", "Now.", true);
  prometheus::one(text, "c", "summary", "Long.", 0.25);
  EXPECT_EQ(text,
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n"
            "# HELP b Now.\n# TYPE b gauge\nb 1\n"
            "# HELP c Long.\n# TYPE c summary\nc 0.25\n");
  text.clear();
  prometheus::value(text, "d", "{x=\"" + prometheus::escaped("a\"b\\c\nd") + "\"}", -1);
  prometheus::value(text, "d", "", 1e-9);
  EXPECT_EQ(text, "d{x=\"a\\\"b\\\\c\\nd\"} -1\nd 1e-09\n");
}

}  // namespace
}  // namespace noroshi
